/** A running broker whose socket, lock or whole directory is taken away. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { createLaunching, launchingIn, processEnd } from "../../support/launching.ts";
import { converse, refusedIn, sayHello } from "../../support/peers/raw-peer.ts";
import { statusOf } from "../../support/probing.ts";
import { createWorld, modeOf, RPB, type RunningBroker } from "../../support/world.ts";

test("a socket file that is deleted under a running broker is bound again, every time", async (t) => {
  const { broker } = await createLaunching(t);
  for (let times = 1; times <= 3; times++) {
    rmSync(broker.endpoint);
    await rebound(broker, times);
    assert.equal(refusedIn(await sayHello(broker.endpoint, { serviceName: "none" })).code, 2);
    assert.equal(modeOf(broker.endpoint), 0o600);
    assert.ok(existsSync(`${broker.endpoint}.lock`));
  }
});

test("a runtime directory that is removed is made again, and backends are launched in it", async (t) => {
  const { world, broker, negotiated } = await createLaunching(t);
  const elsewhere = join(world.root, "elsewhere");
  renameSync(world.runtime, elsewhere);
  rmSync(elsewhere, { recursive: true });
  await rebound(broker, 1);
  assert.equal(modeOf(world.runtime), 0o700);
  world.define({ serviceName: "svc", binary: "obeys.mjs" });
  await negotiated("svc");
});

test("a lock file that is deleted under a running broker lets no second one in", async (t) => {
  const { world, broker } = await createLaunching(t);
  rmSync(`${broker.endpoint}.lock`);
  const second = await world.run(process.execPath, [RPB, "serve", "--socket", broker.endpoint]);
  assert.equal(second.code, 75);
  assert.equal((await statusOf(broker.endpoint)).accepting_hello, true);
});

test("a broker whose place is gone with its parents ends by itself, and its backends with it", async (t) => {
  const world = await createWorld(t);
  const place = join(world.root, "place");
  const directory = join(place, "a/b");
  const broker = await world.startBroker(["--socket", join(directory, "b.sock")]);
  const launching = launchingIn(world, broker);
  world.define({ serviceName: "svc", binary: "obeys.mjs" });
  await launching.negotiated("svc");
  const [backend] = launching.pids("svc");
  // All at once, as removing one by one leaves a moment in which the place could still be mended.
  const elsewhere = join(world.root, "elsewhere");
  renameSync(place, elsewhere);
  rmSync(join(elsewhere, "a/b/b.sock"));
  const { code, stderr } = await broker.ended;
  assert.equal(code, 74);
  assert.match(stderr, /"endpoint-lost".*the directory of .* was removed/);
  assert.match(
    stderr.trimEnd().split("\n").at(-1) ?? "",
    /"broker-stopped".*"reason":"lost-endpoint","backend_pids":\[\]/,
  );
  await processEnd(world, backend as number);
  assert.deepEqual(readdirSync(world.runtime), []);
  assert.equal(existsSync(place), false, "nothing was made where the place had been");
});

test("a broker whose address was taken by another listener ends, and leaves that one alone", async (t) => {
  const world = await createWorld(t);
  const place = join(world.root, "place");
  mkdirSync(place, { mode: 0o700 });
  const broker = await world.startBroker(["--socket", join(place, "b.sock")]);
  const other = createServer((peer) =>
    peer
      .on("error", () => {})
      .resume()
      .end("mine now"),
  ).listen(join(place, "other.sock"));
  t.after(() => other.close());
  await once(other, "listening");
  renameSync(join(place, "other.sock"), broker.endpoint);
  const { code, stderr } = await broker.ended;
  assert.equal(code, 74);
  assert.match(stderr, /"endpoint-lost".*another broker is running at .*, or a program that does not answer as one/);
  assert.equal((await converse(broker.endpoint, Buffer.from("?"))).toString(), "mine now");
  assert.equal(existsSync(`${broker.endpoint}.lock`), false);
});

/** Resolves when the log tells of so many rebinds. */
async function rebound(broker: RunningBroker, times: number): Promise<void> {
  const { stderr } = broker.process;
  assert.ok(stderr !== null);
  while (broker.log().split('"endpoint-rebound"').length <= times) await once(stderr, "data");
}
