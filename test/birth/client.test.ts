/** A client is a guest: it leaves the descriptors of its program as they are, and passes none of them on. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { openFiles } from "../support/process-facts.ts";
import { createWorld, type Finished, RPB, type World } from "../support/world.ts";
import { type Outer, outerDescriptors } from "./support/outer.ts";

async function worldWithDemo(t: TestContext): Promise<{ world: World; outer: Outer }> {
  let stop = async (): Promise<void> => {};
  t.after(() => stop());
  const world = await createWorld(t);
  world.define({ serviceName: "demo" });
  stop = async () => {
    await world.run(process.execPath, [RPB, "stop", "--with-backends", "--instance", "private:demo"]);
  };
  return { world, outer: outerDescriptors(world) };
}

/** Runs a client in the shell. When it is done, broker and backend run and have nothing of the shell's; the lock is free. */
async function runInShell(world: World, outer: Outer, client: readonly string[]): Promise<Finished> {
  const [file, ...args] = outer.shell;
  const done = await world.run(file as string, [...args, process.execPath, ...client]);
  assert.equal(done.code, 0, done.stdout + done.stderr);
  await outer.readerEnded();
  const daemons = world.processes();
  assert.equal(daemons.length, 2);
  assert.deepEqual(daemons.flatMap(outer.heldBy), []);
  assert.equal(outer.isLockFree(), true);
  return done;
}

test("a client in a shell with a lock: broker and backend are started, the lock is free when the client is done", async (t) => {
  const { world, outer } = await worldWithDemo(t);
  const client = await runInShell(world, outer, [world.install("client.mjs"), "demo", "1.0.0", "abc"]);
  assert.equal((JSON.parse(client.stdout) as { startedBroker: boolean }).startedBroker, true);
});

test("rpb connect in a shell with a lock leaves nothing of the shell's open either", async (t) => {
  const { world, outer } = await worldWithDemo(t);
  await runInShell(world, outer, [RPB, "connect", "demo", "1.0.0"]);
});

test("what its program has open to be inherited stays so, and neither broker nor backend has it", async (t) => {
  const { world } = await worldWithDemo(t);
  const path = join(world.root, "inheritable");
  const client = await world.run(process.execPath, [world.install("opens-inheritable.mjs"), "demo", "1.0.0", path]);
  assert.equal(client.code, 0, client.stderr);
  const { answer, before, after } = JSON.parse(client.stdout) as Record<string, Record<string, number>>;
  assert.equal(answer, "cba");
  assert.deepEqual(Object.values(before as Record<string, number>), [0, 0, 0]);
  assert.deepEqual(after, before);
  const daemons = world.processes();
  assert.equal(daemons.length, 2);
  assert.deepEqual(
    daemons.flatMap(openFiles).filter((target) => target === path),
    [],
  );
});
