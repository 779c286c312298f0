/** METRICS of a running broker: scraped, driven, scraped again (spec: server §15). */
import assert from "node:assert/strict";
import { test } from "node:test";
import { METRICS } from "../../../src/broker/events/metric-table.ts";
import { answerOf, createHanding, PROTOCOL } from "../../support/handing.ts";
import { createLaunching } from "../../support/launching.ts";
import { converse, negotiatedIn, openRaw, refusedIn, sayHello } from "../../support/peers/raw-peer.ts";
import { type Scrape, scrape } from "./support/asking.ts";

const FROZEN = [
  "hello_total counter",
  "hello_duration_seconds histogram",
  "active_backends gauge",
  "spawn_attempts_total counter",
  "spawn_budget_remaining gauge",
  "connections_open gauge",
  "fd_usage_ratio gauge",
  "uptime_seconds gauge",
];

test("the text has the frozen names and types first, in their order, and each of the others once", async (t) => {
  const { broker } = await createLaunching(t);
  const { text } = await scrape(broker.endpoint);
  const types = text.split("\n").filter((line) => line.startsWith("# TYPE"));
  const expected = Object.entries(METRICS).map(([name, { type }]) => `${name} ${type}`);
  assert.deepEqual(expected.slice(0, FROZEN.length), FROZEN);
  assert.deepEqual(
    types,
    expected.map((line) => `# TYPE running_process_broker_v1_${line}`),
  );
  assert.match(text, /^running_process_broker_v1_connections_open 1$/m);
  assert.match(text, /^running_process_broker_v1_uptime_seconds \d+$/m);
});

test("every metric follows what happens: scrape, traffic, scrape again", async (t) => {
  const launching = await createLaunching(t);
  const { world, broker } = launching;
  world.define({ serviceName: "svc", binary: "obeys.mjs", versionAllowList: ["1.0.0", "2.0.0"] });
  world.define({ serviceName: "bad", binary: "exits-at-once.mjs" });
  const before = await scrape(broker.endpoint);
  assert.equal(before.value("connections_open"), 1);
  assert.equal(before.value("hello_total", "service=svc version=1.0.0 outcome=negotiated"), undefined);

  for (const version of ["1.0.0", "1.0.0", "1.0.0", "2.0.0"]) await launching.negotiated("svc", version);
  assert.equal((await launching.refused("svc", "3.0.0")).code, 8);
  assert.equal((await launching.refused("bad")).code, 3);
  assert.equal((await launching.refused("none")).code, 2);
  assert.equal((await launching.refused("No Name")).code, 6);
  assert.equal((await launching.refused("svc", 'x"\n\\')).code, 6);
  await converse(broker.endpoint, Buffer.from([9]), { end: true });
  const idle = [await openRaw(broker.endpoint), await openRaw(broker.endpoint)];

  const after = await scrape(broker.endpoint);
  assert.deepEqual(samplesOf(after, "hello_total"), {
    "service=_unknown version=1.0.0 outcome=peer_rejected": 1,
    "service=_unknown version=_unknown outcome=version_unsupported": 1,
    "service=bad version=1.0.0 outcome=backend_spawn_failed": 1,
    "service=none version=1.0.0 outcome=service_unknown": 1,
    "service=svc version=1.0.0 outcome=negotiated": 3,
    "service=svc version=2.0.0 outcome=negotiated": 1,
    "service=svc version=3.0.0 outcome=version_blocked": 1,
    "service=svc version=_unknown outcome=peer_rejected": 1,
  });
  for (const [service, count] of [
    ["svc", 6],
    ["bad", 1],
    ["none", 1],
    ["_unknown", 1],
  ] as const) {
    assert.equal(after.value("hello_duration_seconds_count", `service=${service}`), count);
    assert.equal(after.value("hello_duration_seconds_bucket", `service=${service} le=+Inf`), count);
    assert.ok((after.value("hello_duration_seconds_sum", `service=${service}`) ?? 0) > 0);
  }
  // A process was started for two of them, which nobody does in a tenth of a millisecond.
  assert.ok((after.value("hello_duration_seconds_bucket", "service=svc le=0.0001") ?? 9) <= 4);
  assert.deepEqual(samplesOf(after, "active_backends"), { "service=bad": 0, "service=svc": 2 });
  assert.deepEqual(samplesOf(after, "spawn_attempts_total"), {
    "service=bad version=1.0.0 outcome=failed": 1,
    "service=svc version=1.0.0 outcome=ready": 1,
    "service=svc version=2.0.0 outcome=ready": 1,
  });
  assert.deepEqual(samplesOf(after, "spawn_budget_remaining"), {
    "service=bad version=1.0.0": 2,
    "service=svc version=1.0.0": 3,
    "service=svc version=2.0.0": 3,
  });
  assert.equal(after.value("connections_open"), 3);
  const [ratioBefore, ratioAfter] = [before, after].map((one) => one.value("fd_usage_ratio") as number);
  assert.ok(
    (ratioBefore as number) > 0 && (ratioAfter as number) > (ratioBefore as number) && (ratioAfter as number) <= 1,
  );

  for (const socket of idle) socket.destroy();
  process.kill(launching.pids("svc")[0] as number, "SIGKILL");
  await broker.logged(/running -> absent/);
  assert.equal((await scrape(broker.endpoint)).value("active_backends", "service=svc"), 1);
  for (let last = after; last.value("uptime_seconds") === 0; ) last = await scrape(broker.endpoint);
});

test("handoffs are counted by mode and outcome", async (t) => {
  const at = await createHanding(t);
  at.define("svc");
  const session = await at.open("svc");
  assert.equal(answerOf(await session.request(PROTOCOL, Buffer.from("one"))), "ONE");
  await session.close();
  await at.outcomes(1);
  assert.deepEqual(samplesOf(await scrape(at.broker.endpoint), "handoffs_total"), {
    "service=svc version=1.0.0 mode=direct outcome=completed": 1,
  });
});

test("a peer that makes up names cannot make the metrics grow without end", async (t) => {
  const { broker } = await createLaunching(t);
  // The rate limit is per process; below it all are counted by name.
  for (let i = 0; i < 20; i++) refusedIn(await sayHello(broker.endpoint, { serviceName: `n${i}${"x".repeat(70)}` }));
  const { text } = await scrape(broker.endpoint);
  assert.equal(text.match(/^running_process_broker_v1_hello_total\{/gm)?.length, 1);
  assert.doesNotMatch(text, /xxx/);
});

test("a registered backend counts as active", async (t) => {
  const launching = await createLaunching(t);
  const { world } = launching;
  world.define({ serviceName: "svc", binary: "obeys.mjs" });
  const { backendPipe } = await launching.negotiated("svc");
  const registered = await world.startBroker([
    ...["--socket", `${world.runtime}/r.sock`, "--service", "svc", "--version", "1.0.0"],
    ...["--backend-endpoint", backendPipe],
  ]);
  negotiatedIn(await sayHello(registered.endpoint, { serviceName: "svc" }));
  const { value } = await scrape(registered.endpoint);
  assert.deepEqual([value("active_backends", "service=svc"), value("spawn_attempts_total")], [1, undefined]);
  assert.equal((await registered.stop()).code, 0);
});

function samplesOf({ families }: Scrape, name: string): Record<string, number> {
  const full = `running_process_broker_v1_${name}`;
  const samples = families.flatMap((family) => family.samples).filter((sample) => sample.name === full);
  return Object.fromEntries(
    samples.map(({ labels, value }) => [
      Object.entries(labels)
        .map((pair) => pair.join("="))
        .join(" "),
      value,
    ]),
  );
}
