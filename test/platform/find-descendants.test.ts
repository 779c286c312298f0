/** Finding what a launch has left running, by environment and by session, on real processes. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import test, { type TestContext } from "node:test";
import { loadPlatform } from "../../src/platform/platform.ts";

const { processes } = await loadPlatform();
/** No process has this session. */
const NO_SESSION = -1;

async function start(t: TestContext, env: Record<string, string>): Promise<ChildProcess & { pid: number }> {
  const child = spawn("/bin/sleep", ["600"], { env, detached: true, stdio: "ignore" });
  t.after(async () => {
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  });
  await once(child, "spawn");
  return child as ChildProcess & { pid: number };
}

function find(options: { sessionId?: number; marker?: string }): number[] {
  const found = processes.findDescendants({ sessionId: NO_SESSION, marker: `RPB_TEST=${randomUUID()}`, ...options });
  for (const process of found) process.close();
  return found.map(({ pid }) => pid);
}

test("a process is found by its variable, first, in the middle or last, and by nothing that only contains it", async (t) => {
  const marker = `RPB_TEST=${randomUUID()}`;
  const [name, value] = marker.split("=") as [string, string];
  const pids: number[] = [];
  for (const env of [
    { [name]: value, B: "b" },
    { A: "a", [name]: value, B: "b" },
    { A: "a", [name]: value },
  ])
    pids.push((await start(t, env)).pid);
  await start(t, { [`X${name}`]: value });
  await start(t, { [name]: `${value}x` });
  await start(t, { A: marker });
  assert.deepEqual(find({ marker }).sort(), pids.sort());
});

test("a variable is found at the end of an environment larger than one read", async (t) => {
  const marker = `RPB_TEST=${randomUUID()}`;
  const filling = Object.fromEntries(Array.from({ length: 4 }, (_, at) => [`FILL${at}`, "f".repeat(100_000)]));
  const [name, value] = marker.split("=") as [string, string];
  const { pid } = await start(t, { ...filling, [name]: value });
  assert.deepEqual(find({ marker }), [pid]);
});

test("a process is found by its session", async (t) => {
  const { pid } = await start(t, {});
  assert.deepEqual(find({ sessionId: pid }), [pid]);
});

test("a look at all processes leaves no buffers behind", async (t) => {
  for (let n = 0; n < 10; n++) await start(t, {});
  find({});
  const before = process.memoryUsage().arrayBuffers;
  for (let look = 0; look < 10; look++) find({});
  // Read with a fresh buffer each, as Node does, a hundred environments would be 6 MB.
  assert.ok(process.memoryUsage().arrayBuffers - before < 256 * 1024);
});
