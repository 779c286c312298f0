import assert from "node:assert/strict";
import { test } from "node:test";
import type { MetricFamily } from "../../model/open-metrics.ts";
import { refuse } from "../../model/refusal.ts";
import { createBrokerMetrics, type LiveGauges } from "./metrics.ts";

const NOTHING: LiveGauges = {
  backends: [],
  budgets: [],
  fullBudget: 3,
  connectionsOpen: 0,
  fdUsageRatio: 0,
  uptimeMs: 0,
};

function hello(service: string, version: string, durationMs = 1, refused = false) {
  const refusal = refused ? refuse("RATE_LIMITED", "") : undefined;
  return {
    type: "hello",
    service,
    version,
    pid: 1,
    refusal,
    connectionId: 1n,
    requestId: 1n,
    given: undefined,
    durationMs,
  } as const;
}

function family(families: readonly MetricFamily[], name: string): MetricFamily {
  const found = families.find((one) => one.name === `running_process_broker_v1_${name}`);
  assert.ok(found !== undefined);
  return found;
}

test("a duration is counted in every bucket whose bound it does not exceed", () => {
  const metrics = createBrokerMetrics();
  for (const ms of [0.05, 0.1, 0.11, 30_000, 30_001]) metrics.connection(hello("svc", "1.0.0", ms));
  const { samples } = family(metrics.families(NOTHING), "hello_duration_seconds");
  const bucket = (le: string): number | undefined =>
    samples.find(({ labels }) => labels.some(([name, value]) => name === "le" && value === le))?.value;
  assert.deepEqual(["0.0001", "0.00025", "10.0", "30.0", "+Inf"].map(bucket), [2, 3, 3, 4, 5]);
  assert.deepEqual(
    samples.slice(-2).map(({ suffix, value }) => [suffix, Math.round(value)]),
    [
      ["_count", 5],
      ["_sum", 60],
    ],
  );
});

test("the thousand-and-first name is counted with all that follow, and those known before still by name", () => {
  const metrics = createBrokerMetrics();
  for (let i = 0; i < 1500; i++) metrics.connection(hello(`s${i}`, "1.0.0"));
  metrics.connection(hello("s3", "1.0.0"));
  metrics.connection(hello("s1400", "2.0.0", 1, true));
  const families = metrics.families(NOTHING);
  const { samples } = family(families, "hello_total");
  assert.equal(samples.length, 1002);
  const value = (service: string, outcome: string): number | undefined =>
    samples.find(({ labels }) => labels[0]?.[1] === service && labels[2]?.[1] === outcome)?.value;
  assert.deepEqual(
    [
      value("s3", "negotiated"),
      value("_other", "negotiated"),
      value("_other", "rate_limited"),
      value("s1400", "negotiated"),
    ],
    [2, 500, 1, undefined],
  );
  const counts = family(families, "hello_duration_seconds").samples.filter(({ suffix }) => suffix === "_count");
  assert.equal(counts.length, 1001);
  assert.equal(
    counts.reduce((sum, one) => sum + one.value, 0),
    1502,
  );
});

test("names and versions that are none are counted together, however long they are", () => {
  const metrics = createBrokerMetrics();
  for (const [service, version] of [
    ["A", "1.0.0"],
    ["", ""],
    ["a b", "1"],
    ["x".repeat(65), "1.0"],
    ["a", `1.0.${"0".repeat(70)}`],
  ] as const)
    metrics.connection(hello(service, version));
  const { samples } = family(metrics.families(NOTHING), "hello_total");
  assert.deepEqual(
    samples.map(({ labels, value }) => [...labels.slice(0, 2).map(([, text]) => text), value]),
    [
      ["_unknown", "1.0.0", 1],
      ["_unknown", "_unknown", 3],
      ["a", "_unknown", 1],
    ],
  );
});

test("gauges of backends and budgets are those of the moment; what was launched once stays visible", () => {
  const metrics = createBrokerMetrics();
  const [one, two] = [
    { service: "a", version: "1.0.0" },
    { service: "a", version: "2.0.0" },
  ];
  metrics.spawn({ service: "b", version: "1.0.0" }, "failed");
  const families = metrics.families({ ...NOTHING, backends: [one, two], budgets: [{ ...one, remaining: 0 }] });
  const rows = (name: string) =>
    family(families, name).samples.map(({ labels, value }) => [...labels.map(([, text]) => text), value]);
  assert.deepEqual(rows("active_backends"), [
    ["a", 2],
    ["b", 0],
  ]);
  assert.deepEqual(rows("spawn_budget_remaining"), [
    ["a", "1.0.0", 0],
    ["b", "1.0.0", 3],
  ]);
});

test("another part's families follow ours, asked anew at every scrape", () => {
  let count = 0;
  const metrics = createBrokerMetrics([
    () => [{ name: "leases", type: "gauge", samples: [{ labels: [], value: ++count }] }],
  ]);
  metrics.families(NOTHING);
  assert.deepEqual(metrics.families(NOTHING).at(-1)?.samples, [{ labels: [], value: 2 }]);
});
