/** Who listens at a path, without connecting: no listener here ever sees a connection that was not made on purpose. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import test, { type TestContext } from "node:test";
import { loadPlatform } from "../../src/platform/platform.ts";

async function setUp(t: TestContext) {
  const { processes, transport } = await loadPlatform();
  const directory = mkdtempSync(join(tmpdir(), "l-"));
  t.after(() => rmSync(directory, { recursive: true }));
  return { processes, transport, directory, path: join(directory, "s") };
}

/** Connections to it are counted. */
async function serve(t: TestContext, path: string): Promise<Server & { seen: number }> {
  const server = Object.assign(
    createServer(() => {
      server.seen++;
    }),
    { seen: 0 },
  );
  server.listen(path);
  await once(server, "listening");
  t.after(() => void server.close());
  return server;
}

const PYTHON = `
import os, socket, sys
kind, path = sys.argv[1:]
server = socket.socket(socket.AF_UNIX, getattr(socket, kind))
server.bind(path)
print("bound", flush=True)
sys.stdin.readline()
server.listen()
print("listens", flush=True)
sys.stdin.readline()
`;

/** A process that binds, and listens when it is told to. */
async function python(
  t: TestContext,
  kind: string,
  path: string,
  cwd?: string,
): Promise<ChildProcess & { next(): Promise<void> }> {
  const child = spawn("/usr/bin/python3", ["-c", PYTHON, kind, path], { cwd, stdio: ["pipe", "pipe", "inherit"] });
  t.after(async () => {
    child.kill("SIGKILL");
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  });
  const lines = createInterface({ input: child.stdout });
  await once(lines, "line");
  return Object.assign(child, {
    async next() {
      const line = once(lines, "line");
      child.stdin.write("\n");
      await line;
    },
  });
}

test("a socket is bound from bind to the end of its last descriptor, and asking makes no connection", async (t) => {
  const { transport, path } = await setUp(t);
  assert.equal(transport.isBound(path), false);
  const server = await serve(t, path);
  for (let i = 0; i < 3; i++) assert.equal(transport.isBound(path), true);
  renameSync(path, `${path}.moved`);
  assert.deepEqual([transport.isBound(path), transport.isBound(`${path}.moved`)], [false, true]);
  symlinkSync(`${path}.moved`, path);
  assert.equal(transport.isBound(path), true, "through a link, as connect(2) goes");
  // Another turn of the event loop, in which a connection would be seen.
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(server.seen, 0);
  const held = transport.listen(join(path, "..", "other"));
  const other = join(path, "..", "other");
  assert.equal(transport.isBound(other), true);
  held.close();
  assert.equal(transport.isBound(other), false, "its file is stale now");
});

test("other processes' sockets are seen, of whatever type, also before they listen", async (t) => {
  const { transport, directory } = await setUp(t);
  for (const kind of ["SOCK_STREAM", "SOCK_SEQPACKET", "SOCK_DGRAM"]) {
    const path = join(directory, kind);
    const child = await python(t, kind, path);
    assert.equal(transport.isBound(path), true, kind);
    child.kill("SIGKILL");
    await once(child, "exit");
    assert.equal(transport.isBound(path), false, kind);
  }
});

test("what is no socket has none bound to it, and a path that cannot be asked about is refused", async (t) => {
  const { transport, directory, path } = await setUp(t);
  writeFileSync(path, "");
  mkdirSync(join(directory, "d"));
  for (const each of [path, join(directory, "d"), join(path, "below"), join(directory, "none", "s")])
    assert.equal(transport.isBound(each), false, each);
  assert.throws(() => transport.isBound(join(directory, "x".repeat(108))), { code: "PATH_TOO_LONG" });
});

test("listeners are found by their path, whatever characters it has, and with them who has them open", async (t) => {
  const { processes, directory } = await setUp(t);
  for (const name of ["plain", "with blank", "é ü", "line\nend", " 99", '"quoted"', "a:b"]) {
    const path = join(directory, name);
    assert.equal(processes.listenersAt(path, process.pid), undefined, "nothing there");
    const child = await python(t, "SOCK_STREAM", path);
    assert.deepEqual(processes.listenersAt(path, process.pid), [], "bound");
    await child.next();
    const listeners = processes.listenersAt(path, process.pid) ?? [];
    assert.equal(listeners.length, 1, JSON.stringify(name));
    assert.deepEqual(processes.listenersAt(path, child.pid as number), listeners);
    assert.deepEqual(processes.holdersOf(listeners), [child.pid]);
    assert.deepEqual(processes.holdersOf(listeners, [process.pid]), []);
    assert.deepEqual(processes.holdersOf(listeners, [process.pid, child.pid as number]), [child.pid]);
    child.kill("SIGKILL");
    await once(child, "exit");
    assert.equal(processes.listenersAt(path, process.pid), undefined);
  }
});

test("a path that ends like another one is not taken for it", async (t) => {
  const { processes, directory } = await setUp(t);
  await serve(t, join(directory, "a b"));
  for (const path of ["b", "a", join(directory, "a"), `${join(directory, "a b")} c`])
    assert.equal(processes.listenersAt(path, process.pid), undefined, path);
});

test("of a process that is gone, or one that bound by another spelling, nothing is listed", async (t) => {
  const { processes, transport, directory, path } = await setUp(t);
  const server = await serve(t, join(directory, ".", "x", "..", "s").replace("/x/..", "/."));
  assert.equal(processes.listenersAt(path, process.pid)?.length ?? 0, 1);
  assert.equal(processes.listenersAt(path, 2 ** 22 + 1), undefined);
  const relative = await python(t, "SOCK_STREAM", join(directory, "..", directory.split("/").at(-1) as string, "r"));
  await relative.next();
  const spelled = join(directory, "r");
  assert.equal(transport.isBound(spelled), true);
  unlinkSync(path);
  assert.equal(processes.listenersAt(path, process.pid)?.length, 1, "the path stays, though the file is gone");
  assert.equal(server.seen, 0);
});

/** Guards against a daemon that counted as ready between its bind by a relative path and its listen. */
test("a socket that its process has bound by a relative path is seen, and whether it listens", async (t) => {
  const { processes, directory } = await setUp(t);
  for (const spelled of ["r", "./r", `../${directory.split("/").at(-1)}/r`, "é ü"]) {
    const path = join(directory, spelled);
    const child = await python(t, "SOCK_STREAM", spelled, directory);
    assert.deepEqual(processes.listenersAt(path, child.pid as number), [], spelled);
    await child.next();
    const listeners = processes.listenersAt(path, child.pid as number) ?? [];
    assert.equal(listeners.length, 1, spelled);
    assert.deepEqual(processes.holdersOf(listeners), [child.pid]);
    assert.equal(processes.listenersAt(path, process.pid), undefined, "of another process it is not known");
    assert.equal(processes.listenersAt(join(directory, "x"), child.pid as number), undefined);
    child.kill("SIGKILL");
    await once(child, "exit");
    unlinkSync(path);
  }
});
