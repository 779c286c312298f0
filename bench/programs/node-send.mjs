// Node's own way to pass a connection on: the parent accepts and sends the socket to its child, which answers with what
// it gets. Task: { path }.
import { fork } from "node:child_process";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";

if (process.send === undefined) {
  const { path } = JSON.parse(process.argv[2]);
  const child = fork(fileURLToPath(import.meta.url), [], { stdio: ["ignore", "ignore", "inherit", "ipc"] });
  const server = createServer({ pauseOnConnect: true }, (socket) => child.send("connection", socket));
  server.listen(path, 4096, () => process.stdout.write("ready\n"));
} else {
  process.on("message", (_, socket) => {
    // The peer may be gone already.
    if (socket === undefined) return;
    socket.on("error", () => {});
    socket.on("data", (chunk) => socket.write(chunk));
    socket.resume();
  });
  process.on("disconnect", () => process.exit());
}
