// A program to be started in a broker's place: MODE, then what every broker is given (`serve --socket PATH …`). Each
// start leaves a line with its pid in PATH.starts.

import { appendFileSync, existsSync } from "node:fs";
import { createServer } from "node:net";
import { fileExists } from "../../fixtures/file-exists.mjs";

const [mode, verb, flag, socket] = process.argv.slice(2);
if (verb !== "serve" || flag !== "--socket")
  throw new Error(`unexpected arguments: ${process.argv.slice(2).join(" ")}`);
appendFileSync(
  `${socket}.starts`,
  `${process.pid} ${JSON.stringify({ argv: process.argv.slice(2), cwd: process.cwd(), env: process.env })}\n`,
);

function serve() {
  const server = createServer(() => {});
  server.on("error", (error) => {
    process.stderr.write(`${error.code}\n`);
    process.exitCode = 75;
  });
  server.listen(socket, () => process.stdout.write(`ready ${socket}\nmore of it\n`));
}

switch (mode) {
  case "serve":
    serve();
    break;
  case "fail":
    process.stderr.write("first words\nthe config is broken\n");
    process.exitCode = 78;
    break;
  case "fail-on-go":
    await fileExists(`${socket}.go`);
    process.stderr.write("gone wrong\n");
    process.exitCode = 70;
    break;
  case "serve-on-go":
    await fileExists(`${socket}.go`);
    serve();
    break;
  case "killed-once":
    if (existsSync(`${socket}.killed`)) serve();
    else {
      appendFileSync(`${socket}.killed`, "");
      process.kill(process.pid, "SIGKILL");
    }
    break;
  case "killed":
    process.kill(process.pid, "SIGKILL");
    break;
  case "babble":
    process.stdout.write("hello, world\n");
    setInterval(() => {}, 1000);
    break;
  case "already-running":
    process.exitCode = 75;
    break;
  default:
    throw new Error(`no such mode: ${mode}`);
}
