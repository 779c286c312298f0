/** The end of a broker that has work in flight: everybody who asked is told, and nothing stays behind. */
import assert from "node:assert/strict";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { AdminVerb } from "../../../src/wire/messages.ts";
import { createLaunching, type Launching, makeFifo, processEnd } from "../../support/launching.ts";
import { converse, helloBytes, negotiatedIn, openRaw, refusedIn } from "../../support/peers/raw-peer.ts";
import { adminBytes, rest, statusOf } from "../../support/probing.ts";

/** A world with a service that binds only when it is told to. */
async function createHeld(t: TestContext): Promise<Launching & { release(): void }> {
  const launching = await createLaunching(t);
  const { world } = launching;
  const go = makeFifo(join(world.root, "go"));
  world.define({
    serviceName: "held",
    binary: "binds-when-told.mjs",
    labels: { "exec.bind": "backend", "exec.ready_timeout": "10m" },
  });
  return { ...launching, release: () => writeFileSync(go, "now") };
}

for (const drainMs of [1, 300]) {
  test(`the Hello of a launch that is cut short after ${drainMs} ms gets a refusal, and the launch leaves nothing`, async (t) => {
    const { broker, hello, leftovers } = await createHeld(t);
    const waiting = hello("held");
    await broker.logged(/"backend-launching"/);
    await converse(broker.endpoint, adminBytes(AdminVerb.SHUTDOWN, { drainMs }));
    assert.equal(refusedIn(await waiting).code, 5, "SHUTTING_DOWN");
    assert.equal((await broker.ended).code, 0);
    assert.deepEqual(leftovers(), []);
  });
}

test("SIGTERM lets a launch in flight end well; Hellos that come meanwhile are told SHUTTING_DOWN", async (t) => {
  const { world, broker, hello, release, pids, leftovers } = await createHeld(t);
  const waiting = hello("held");
  await broker.logged(/"backend-launching"/);
  broker.process.kill("SIGTERM");
  await broker.logged(/"broker-stopping"/);

  for (const service of ["held", "another", ""]) {
    const refused = refusedIn(await hello(service));
    assert.deepEqual([refused.code, refused.reason], [5, "broker is shutting down"]);
  }
  const status = await statusOf(broker.endpoint);
  assert.deepEqual([status.shutting_down, status.accepting_hello, status.launching], [true, false, 1]);

  release();
  const { daemonVersion, backendPipe } = negotiatedIn(await waiting);
  assert.equal(daemonVersion, "1.0.0");
  const { code, stderr } = await broker.ended;
  assert.equal(code, 0);
  const [backend] = pids("held");
  assert.match(
    stderr.trimEnd().split("\n").at(-1) ?? "",
    new RegExp(`"broker-stopped".*"backend_pids":\\[${backend}\\]`),
  );
  // It outlives the broker, and cleans up after itself; what is written about it is for the next broker.
  process.kill(backend as number, "SIGTERM");
  await processEnd(world, backend as number);
  rmSync(`${backendPipe}.manifest`);
  assert.deepEqual(leftovers(), []);
});

test("a peer that has connected and not asked holds up the end for a moment only", async (t) => {
  const { world, broker } = await createLaunching(t);
  const silent = await openRaw(broker.endpoint);
  const halfway = await openRaw(broker.endpoint);
  halfway.write(helloBytes({ serviceName: "none" }).subarray(0, 9));
  const answers = [rest(silent), rest(halfway)];
  // Accepted in order, so both are known once a third has been served.
  assert.equal((await statusOf(broker.endpoint)).connections_open, 3);
  broker.process.kill("SIGTERM");
  for (const answer of answers) assert.equal((await answer).length, 0);
  assert.equal((await broker.ended).code, 0);
  assert.deepEqual(world.processes(), []);
});
