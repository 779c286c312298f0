/** A definition or binary that changes while its backend runs: new clients get the new one, old ones lose nothing. */
import assert from "node:assert/strict";
import { existsSync, readFileSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import test from "node:test";
import { openSession } from "../../../src/client/index.ts";
import { createLaunching, fileCondition, type Launching, makeFifo, processEnd } from "../../support/launching.ts";
import { openRaw } from "../../support/peers/raw-peer.ts";

/** Another content under the same name, put there as package managers do. */
function replace(
  path: string,
  text: string = `${readFileSync(path, "utf8")}\n// changed ${process.hrtime.bigint()}\n`,
): void {
  writeFileSync(`${path}.new`, text, { mode: 0o755 });
  renameSync(`${path}.new`, path);
}

async function replaced(launching: Launching, pid: number): Promise<void> {
  await launching.broker.logged(new RegExp(`"pid":${pid}.*"event":"replaced"`));
}

test("a binary that is replaced: the next client gets the new one, the old one lives as long as it is used", async (t) => {
  const launching = await createLaunching(t);
  const { world, broker } = launching;
  const binaryPath = world.install("obeys.mjs");
  world.define({ serviceName: "svc", binaryPath });
  const first = await launching.negotiated("svc");
  const pid = launching.pids("svc")[0] as number;
  const client = await openRaw(first.backendPipe);
  replace(binaryPath);
  await replaced(launching, pid);
  const second = await launching.negotiated("svc");
  assert.notEqual(second.backendPipe, first.backendPipe);
  assert.ok(world.processes().includes(pid));
  client.destroy();
  await processEnd(world, pid);
  await broker.logged(new RegExp(`"pid":${pid}.*"to":"absent"`));
  assert.doesNotMatch(broker.log(), /stop-timeout|backend-crashed/);
  assert.equal((await launching.negotiated("svc")).backendPipe, second.backendPipe);
});

test("a link on the way to the binary that leads elsewhere replaces it, too", async (t) => {
  const launching = await createLaunching(t);
  const { world } = launching;
  const one = world.install("obeys.mjs", "one.mjs");
  const two = world.install("obeys.mjs", "two.mjs");
  replace(two);
  const link = join(world.root, "bin", "current.mjs");
  symlinkSync(one, link);
  world.define({ serviceName: "svc", binaryPath: link });
  await launching.negotiated("svc");
  const pid = launching.pids("svc")[0] as number;
  symlinkSync(two, `${link}.new`);
  renameSync(`${link}.new`, link);
  await replaced(launching, pid);
  await launching.negotiated("svc");
  assert.equal(launching.pids("svc").length, 2);
});

test("a binary that is written anew with the same content, or removed, is no reason to end anything", async (t) => {
  const launching = await createLaunching(t);
  const { world } = launching;
  const same = world.install("obeys.mjs", "same.mjs");
  const other = world.install("obeys.mjs", "other.mjs");
  const gone = world.install("obeys.mjs", "gone.mjs");
  for (const [serviceName, binaryPath] of [
    ["same", same],
    ["other", other],
    ["gone", gone],
  ] as const)
    world.define({ serviceName, binaryPath });
  for (const service of ["same", "other", "gone"]) await launching.negotiated(service);
  replace(same, readFileSync(same, "utf8"));
  renameSync(gone, `${gone}.away`);
  // Seen later than the two before it.
  for (let round = 0; round < 2; round++) {
    const pid = launching.pids("other").at(-1) as number;
    replace(other);
    await replaced(launching, pid);
    await launching.negotiated("other");
  }
  for (const service of ["same", "gone"]) {
    await launching.negotiated(service);
    assert.equal(launching.pids(service).length, 1, service);
  }
  renameSync(`${gone}.away`, gone);
});

test("a definition that changes what is run counts from the next Hello, and the old backend drains", async (t) => {
  const launching = await createLaunching(t);
  const { world } = launching;
  const define = (text: string, more: Record<string, string> = {}): void =>
    world.define({ serviceName: "svc", binary: "obeys.mjs", labels: { "exec.env.TEXT": text, ...more } });
  define("one");
  const first = await launching.negotiated("svc");
  const pid = launching.pids("svc")[0] as number;
  const client = await openRaw(first.backendPipe);
  define("two");
  const replies = await Promise.all([1, 2, 3].map(() => launching.negotiated("svc")));
  assert.equal(new Set(replies.map((reply) => reply.backendPipe)).size, 1);
  assert.notEqual(replies[0]?.backendPipe, first.backendPipe);
  assert.ok(world.processes().includes(pid));
  client.destroy();
  await processEnd(world, pid);
  // What is no part of the process is taken over by the one that runs.
  define("two", { "exec.stop_timeout": "3s", "idle.timeout": "1h" });
  assert.equal((await launching.negotiated("svc")).backendPipe, replies[0]?.backendPipe);
});

test("an idle time-out that is edited counts for the backend that runs", async (t) => {
  const launching = await createLaunching(t);
  const { world } = launching;
  world.define({ serviceName: "svc", binary: "obeys.mjs", labels: { "idle.timeout": "40ms" } });
  const { backendPipe } = await launching.negotiated("svc");
  const pid = launching.pids("svc")[0] as number;
  const client = await openRaw(backendPipe);
  world.define({ serviceName: "svc", binary: "obeys.mjs", labels: { "idle.timeout": "never" } });
  await launching.negotiated("svc");
  client.destroy();
  world.define({ serviceName: "clock", binary: "obeys.mjs", labels: { "idle.timeout": "400ms" } });
  await launching.negotiated("clock");
  await processEnd(world, launching.pids("clock")[0] as number);
  assert.ok(world.processes().includes(pid));
});

test("a definition that cannot be launched is refused, and the one before it is served again when it is back", async (t) => {
  const launching = await createLaunching(t);
  const { world } = launching;
  world.define({ serviceName: "svc", binary: "obeys.mjs" });
  const { backendPipe } = await launching.negotiated("svc");
  world.define({ serviceName: "svc", binaryPath: join(world.root, "bin", "missing") });
  assert.match((await launching.refused("svc")).reason, /could not be canonicalized/);
  world.define({ serviceName: "svc", binary: "obeys.mjs" });
  assert.equal((await launching.negotiated("svc")).backendPipe, backendPipe);
});

for (const handedOff of [true, false]) {
  test(`a request in flight when its backend is replaced is answered by the old one (handed over: ${handedOff})`, async (t) => {
    const launching = await createLaunching(t);
    const { world, broker } = launching;
    const started = makeFifo(join(world.root, "started"));
    const go = makeFifo(join(world.root, "go"));
    const define = (text: string): void =>
      world.define({
        serviceName: "svc",
        binary: "answers-when-told.mjs",
        labels: {
          "exec.env.STARTED": started,
          "exec.env.GO": go,
          "exec.env.TEXT": text,
          "handoff.enabled": String(handedOff),
        },
      });
    define("one");
    const first = await launching.negotiated("svc");
    const pid = launching.pids("svc")[0] as number;
    const session = await openSession({
      service: "svc",
      version: "1.0.0",
      broker: { endpoint: broker.endpoint },
      env: world.env,
    });
    assert.equal(Buffer.from(await session.request(0xf001, Buffer.from("hello"))).toString(), "at once");
    assert.equal(session.connection.route, handedOff ? "handed-off" : "negotiated");
    const asked = session.request(0xf001, Buffer.from("wait"));
    assert.equal(await readFile(started, "utf8"), "waiting");
    define("two");
    assert.notEqual((await launching.negotiated("svc")).backendPipe, first.backendPipe);
    await replaced(launching, pid);
    // Nobody new can come, and what was there goes on.
    await fileCondition(first.backendPipe, () => !existsSync(first.backendPipe));
    await writeFile(go, "answer");
    assert.equal(Buffer.from(await asked).toString(), "answer");
    assert.equal(Buffer.from(await session.request(0xf001, Buffer.from("hello"))).toString(), "at once");
    await session.close();
    await processEnd(world, pid);
  });
}

test("under load, with the definition changing again and again, no request fails and one backend is left", async (t) => {
  const launching = await createLaunching(t);
  const { world, broker } = launching;
  const define = (text: string): void =>
    world.define({ serviceName: "svc", binary: "reverse.mjs", labels: { "exec.env.TEXT": text } });
  define("0");
  let stop = false;
  let answered = 0;
  const client = async (): Promise<void> => {
    while (!stop) {
      const session = await openSession({
        service: "svc",
        version: "1.0.0",
        broker: { endpoint: broker.endpoint },
        env: world.env,
      });
      for (let request = 0; request < 3; request++)
        assert.equal(Buffer.from(await session.request(0xf001, Buffer.from("abc"))).toString(), "cba");
      answered++;
      await session.close();
    }
  };
  const clients = [1, 2, 3, 4].map(client);
  try {
    for (let change = 1; change <= 4; change++) {
      const before = launching.pids("svc").length;
      define(String(change));
      while (launching.pids("svc").length === before)
        await Promise.race([
          new Promise((resolve) => broker.process.stderr?.once("data", resolve)),
          Promise.all(clients),
        ]);
    }
  } finally {
    stop = true;
  }
  await Promise.all(clients);
  assert.ok(answered > 4);
  const pids = launching.pids("svc");
  await Promise.all(pids.slice(0, -1).map((pid) => processEnd(world, pid)));
  assert.ok(world.processes().includes(pids.at(-1) as number));
  assert.doesNotMatch(broker.log(), /backend-crashed|stop-timeout/);
});
