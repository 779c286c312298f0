import assert from "node:assert/strict";
import { test } from "node:test";
import { BrokerError } from "../../base/errors.ts";
import { createManualClock } from "../../testing/manual-clock.ts";
import { createBackendHealth } from "./backend-health.ts";

const KEY = { instanceId: "shared", service: "svc", version: "1.0.0" };

test("the last error stays when the next launch succeeds, and so does the last Hello of the backend that ended", () => {
  const health = createBackendHealth(createManualClock());
  health.launchFailed(KEY, new BrokerError("PROCESS_EXITED", "it exited"));
  health.ended(KEY, "stop", undefined, 1234);
  const { lastError, lastHelloUnixMs } = health.get(KEY) ?? {};
  assert.deepEqual([lastError, lastHelloUnixMs], ["it exited", 1234]);
});

test("each way to end has its words, and an end that was wanted has none", () => {
  const said = (
    ...[event, exit]: [
      Parameters<ReturnType<typeof createBackendHealth>["ended"]>[1],
      ({ code: number | null; signal: NodeJS.Signals | null } | undefined)?,
    ]
  ) => {
    const health = createBackendHealth(createManualClock());
    health.ended(KEY, event, exit, 0);
    return health.get(KEY)?.lastError;
  };
  assert.equal(said("exited", { code: 3, signal: null }), "backend exited with status 3");
  assert.equal(said("exited", { code: null, signal: "SIGKILL" }), "backend was ended by SIGKILL");
  assert.equal(said("exited", { code: 0, signal: null }), undefined);
  assert.equal(said("exited"), "backend process ended");
  assert.equal(said("not-serving"), "backend did not serve its endpoint any more");
  assert.equal(said("stop-timeout"), "backend did not end in time after SIGTERM and was killed");
  assert.equal(said("stop"), undefined);
});

test("the oldest records give way", () => {
  const health = createBackendHealth(createManualClock());
  for (let i = 0; i < 600; i++) health.launchFailed({ ...KEY, version: `1.0.${i}` }, new Error("no"));
  assert.equal(health.records().length, 512);
  assert.equal(health.get({ ...KEY, version: "1.0.0" }), undefined);
  assert.ok(health.get({ ...KEY, version: "1.0.599" }));
});
