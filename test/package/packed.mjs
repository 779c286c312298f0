// The README's examples as a user runs them: in a project that has the package installed from its archive, with the Node
// that runs this file. INSTALLED_IN is that project (scripts/test-package.mjs makes it).
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { promisify } from "node:util";

const run = promisify(execFile);
const project = process.env.INSTALLED_IN;
const readme = readFileSync(join(project, "node_modules/running-process-broker/README.md"), "utf8");
const home = mkdtempSync("/tmp/rpb-");
const env = {
  PATH: `${join(project, "node_modules/.bin")}:${dirname(process.execPath)}:${process.env.PATH}`,
  HOME: home,
  XDG_RUNTIME_DIR: home,
  RUNNING_PROCESS_BROKER_ALLOW_PRIVILEGED: "1",
};

after(async () => {
  await rpb("stop", "--all", "--with-backends");
  const left = processesOf(home);
  const files = readdirSync(join(home, "running-process/broker"));
  rmSync(home, { recursive: true, force: true });
  assert.deepEqual({ left, files }, { left: [], files: [] });
});

/** The fenced block that names itself as `name` in a comment, as a file of the user's project. */
function writeExample(name) {
  const blocks = [...readme.matchAll(/```js\n([\s\S]*?)```/g)].map((match) => match[1]);
  const found = blocks.find((block) => block.includes(`// ${name}\n`));
  assert.ok(found, `README.md has an example ${name}`);
  const path = join(project, name);
  writeFileSync(path, found);
  chmodSync(path, 0o755);
  return path;
}

function rpb(...args) {
  return run("rpb", args, { cwd: project, env }).then(({ stdout }) => stdout);
}

function node(file, options = {}) {
  return run(process.execPath, [file], { cwd: project, env, ...options }).then(({ stdout }) => stdout);
}

function processesOf(root) {
  return readdirSync("/proc").filter((pid) => {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) return false;
    try {
      return readFileSync(`/proc/${pid}/environ`, "latin1").includes(root);
    } catch {
      return false;
    }
  });
}

test("the daemon and the client work as printed", async () => {
  const daemon = writeExample("shout.mjs");
  const client = writeExample("client.mjs");
  await rpb("service", "add", "shout", "--binary", daemon);
  assert.equal(await node(client), "IS ANYBODY THERE?\n");
  assert.equal(await node(client), "IS ANYBODY THERE?\n", "a second time");
  const programs = processesOf(home).map((pid) => readFileSync(`/proc/${pid}/cmdline`, "utf8"));
  assert.equal(programs.filter((line) => line.includes("shout.mjs")).length, 1);
});

test("the operator's commands work as printed", async () => {
  assert.match(await rpb("status"), /shout\s+1\.0\.0\s/);
  assert.match(await rpb("connect", "shout", "1.0.0"), /negotiated/);
  await rpb("service", "check", "shout");
  assert.match(await rpb("why", "shout"), /1\.0\.0/);
  await rpb("logs", "shout");
  // The ten lines of shout.mjs do not say how to let go of a path.
  await assert.rejects(
    rpb("release-handles", "./build"),
    ({ code, stdout }) => code === 69 && stdout.includes("unsupported"),
  );
  await rpb("restart", "--service", "shout");
});

test("a program in CommonJS can require the client", async () => {
  const path = join(project, "client.cjs");
  writeFileSync(
    path,
    `const { openSession } = require("running-process-broker/client");
     openSession({ service: "shout", version: "1.0.0" }).then(async (session) => {
       console.log(Buffer.from(await session.request(0xf001, Buffer.from("hi"))).toString());
       await session.close();
     });`,
  );
  assert.equal(await node(path), "HI\n");
});

test("an unmodified daemon that takes its socket by the LISTEN_FDS protocol works as printed", async () => {
  const path = join(project, "cached.mjs");
  writeFileSync(
    path,
    `#!/usr/bin/env node
import { createServer } from "node:net";
if (process.env.LISTEN_FDS !== "1" || process.env.LISTEN_PID !== String(process.pid)) process.exit(9);
createServer((socket) => socket.pipe(socket)).listen({ fd: 3 });
`,
  );
  chmodSync(path, 0o755);
  await rpb("service", "add", "cache", "--binary", path, "--ready", "listen");
  const piped = run("rpb", ["connect", "cache", "1.0.0", "--pipe"], { cwd: project, env });
  piped.child.stdin.end("over and back");
  assert.equal((await piped).stdout, "over and back");
});

test("the broker stops with its backends when it is told to", async () => {
  await rpb("stop", "--service", "shout", "--with-backends");
  assert.ok(!(await rpb("status")).includes("shout "));
});
