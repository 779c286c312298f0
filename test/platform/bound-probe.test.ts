/** Guards against kernels on which every live socket looked unbound, so that running backends were replaced. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createConnection, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { promisify } from "node:util";
import { type AskBound, askKernel, createBoundProbe } from "../../src/platform/linux/bound-probe.ts";
import { listeners } from "../../src/platform/linux/sockets.ts";
import { PROJECT } from "../support/world.ts";

const SOCK_DGRAM = 2;

function setUp(t: TestContext): { path: string; stale: string; directory: string } {
  const directory = mkdtempSync(join(tmpdir(), "bound-"));
  const listener = listeners.listen(join(directory, "live"));
  listeners.listen(join(directory, "stale")).close();
  t.after(() => {
    listener.close();
    rmSync(directory, { recursive: true });
  });
  return { directory, path: join(directory, "live"), stale: join(directory, "stale") };
}

test("a bound socket costs one question; the method is tried once, at the first refusal", (t) => {
  const { path, stale, directory } = setUp(t);
  const asked: string[] = [];
  const isBound = createBoundProbe((at, type) => {
    asked.push(at);
    return askKernel(at, type);
  });
  for (let i = 0; i < 3; i++) assert.equal(isBound(path), true);
  assert.equal(isBound(join(directory, "none")), false);
  assert.deepEqual(asked.splice(0), [path, path, path, join(directory, "none")]);
  assert.equal(isBound(stale), false);
  const ours = asked.splice(0).filter((at) => at !== stale);
  assert.ok(ours.length > 0 && !ours.includes(path), "on a socket of its own");
  assert.equal(isBound(stale), false);
  assert.equal(isBound(path), true);
  assert.deepEqual(asked, [stale, path]);
  assert.deepEqual(readdirSync(directory).sort(), ["live", "stale"]);
});

test("where a datagram socket is refused whatever is bound, another type is asked with", (t) => {
  const { path, stale, directory } = setUp(t);
  // As gVisor does (connectionedEndpoint.UnidirectionalConnect).
  const ask: AskBound = (at, type) => {
    const said = askKernel(at, type);
    return type === SOCK_DGRAM && said === "EPROTOTYPE" ? "ECONNREFUSED" : said;
  };
  const isBound = createBoundProbe(ask);
  assert.deepEqual([isBound(path), isBound(stale), isBound(join(directory, "none"))], [true, false, false]);
  assert.deepEqual([isBound(stale), isBound(path)], [false, true]);
});

/** seccomp(2): every connect(2) of the process and its children is refused by the kernel. */
const REFUSES = `
import ctypes, os, platform, struct, sys
connect = {"x86_64": 42, "aarch64": 203}.get(platform.machine())
if connect is None: sys.exit(77)
code = [(0x20, 0, 0, 0), (0x15, 0, 1, connect), (0x06, 0, 0, 0x00050000 | 111), (0x06, 0, 0, 0x7FFF0000)]
filters = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in code))
class Program(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
program = Program(len(code), ctypes.addressof(filters))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(program), 0, 0): sys.exit(77)
os.execv(sys.argv[1], sys.argv[1:])
`;

test("where the kernel refuses every way of asking, no file counts as unbound, and none is left behind", async (t) => {
  const { path, stale, directory } = setUp(t);
  const probe = `
    const { loadPlatform } = await import(${JSON.stringify(join(PROJECT, "src/platform/platform.ts"))});
    const { transport } = await loadPlatform();
    const ask = (paths) => paths.map((path) => transport.isBound(path));
    console.log(JSON.stringify(ask(${JSON.stringify([path, stale, path])})));
  `;
  const temporary = mkdtempSync(join(directory, "tmp-"));
  const args = ["-c", REFUSES, process.execPath, "--import", "tsx", "--input-type=module", "-e", probe];
  const env = { ...process.env, TMPDIR: temporary };
  const { stdout, code } = await promisify(execFile)("python3", args, { cwd: PROJECT, env }).catch((error) => error);
  if (code === 77) return t.skip("needs seccomp on x86_64 or aarch64");
  assert.equal(stdout, "[true,true,true]\n");
  const left = readdirSync(temporary).filter((name) => !name.startsWith("tsx-"));
  assert.deepEqual(left, []);
});

test("no connection is made to a listener that is asked about", async (t) => {
  const { directory, stale } = setUp(t);
  const path = join(directory, "served");
  let seen = 0;
  const server = createServer((socket) => {
    seen++;
    socket.end();
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  t.after(() => server.close());
  const isBound = createBoundProbe();
  assert.deepEqual([isBound(stale), isBound(path)], [false, true]);
  // The kernel hands out connections in their order: this one would be the second.
  await new Promise((resolve) => createConnection(path).resume().on("close", resolve));
  assert.equal(seen, 1);
});
