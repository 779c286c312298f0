import assert from "node:assert/strict";
import { test } from "node:test";
import type { BackendKey } from "../../model/backend-key.ts";
import { refuse } from "../../model/refusal.ts";
import { createServiceDefinition } from "../../model/service-definition.ts";
import { createManualClock } from "../../testing/manual-clock.ts";
import type { Activated } from "../activation/activation.ts";
import type { LaunchRequest } from "../launch/launch-request.ts";
import type { Backend } from "../supervisor/backend.ts";
import { createLaunchAhead, type LaunchAhead } from "./prelaunch.ts";

const KEY: BackendKey = { instanceId: "private:demo", service: "demo", version: "1.0.0" };
const REQUEST: LaunchRequest = {
  key: KEY,
  definition: createServiceDefinition({ serviceName: "demo", binaryPath: "/opt/demo", perVersionBinaryDir: "/opt" }),
  traceparent: "",
  tracestate: "",
  askedBy: "start",
};
const REFUSAL = refuse("BACKEND_SPAWN_FAILED", "backend spawn failed: it is not there");

function stage(): {
  ahead: LaunchAhead;
  land(activated: Activated): void;
  clock: ReturnType<typeof createManualClock>;
} {
  const clock = createManualClock();
  let land: (activated: Activated) => void = () => {};
  const ahead = createLaunchAhead(clock, { activate: () => new Promise((resolve) => (land = resolve)) });
  ahead.begin(REQUEST);
  return { ahead, land: (activated) => land(activated), clock };
}

test("the Hello that comes during the launch is told why it failed, the next one tries for itself", async () => {
  const { ahead, land } = stage();
  const told = ahead.outcome(KEY);
  land({ refusal: REFUSAL });
  assert.deepEqual(await told, REFUSAL);
  assert.equal(ahead.outcome(KEY), undefined);
});

test("a Hello for another version, service or instance is told nothing", () => {
  const { ahead } = stage();
  for (const other of [{ version: "1.0.1" }, { service: "demo2" }, { instanceId: "shared" }])
    assert.equal(ahead.outcome({ ...KEY, ...other }), undefined);
  assert.notEqual(ahead.outcome(KEY), undefined);
});

test("a failure is remembered for ten seconds, a success not at all", async () => {
  const failed = stage();
  failed.land({ refusal: REFUSAL });
  await new Promise(setImmediate);
  await failed.clock.advance(9_999);
  assert.deepEqual(await failed.ahead.outcome(KEY), REFUSAL);

  const forgotten = stage();
  forgotten.land({ refusal: REFUSAL });
  await new Promise(setImmediate);
  await forgotten.clock.advance(10_000);
  assert.equal(forgotten.ahead.outcome(KEY), undefined);

  const running = stage();
  const waited = running.ahead.outcome(KEY);
  running.land({ backend: {} as Backend, how: "launched" });
  assert.equal(await waited, undefined);
});
