import assert from "node:assert/strict";
import test from "node:test";
import { BrokerError } from "../../base/errors.ts";
import { createManualClock } from "../../testing/manual-clock.ts";
import type { Activation } from "../activation/activation.ts";
import type { EndpointKeeper } from "../endpoint/endpoint-keeper.ts";
import { createConnections } from "../serving/connections.ts";
import { createRestart } from "./hot-restart.ts";
import type { Successor } from "./successor.ts";

/** Guards against a broker that went on with its address and lock, and accepted nobody. */
test("a restart that is called off by a broker that cannot accept again is told as that, and as no fault to be ignored", async () => {
  const clock = createManualClock();
  const failed = new BrokerError("RESTART_FAILED", "the new process ended");
  const full = new BrokerError("IO_FAILED", "epoll_ctl: ENOSPC");
  const told: unknown[] = [];
  const tell =
    (what: string) =>
    (...about: unknown[]): void =>
      void told.push([what, ...about]);
  const successor: Partial<Successor> = {
    prepared: async () => "1.0.0",
    handOver: async () => {
      throw failed;
    },
    end: async () => {},
  };
  const keeper: Partial<EndpointKeeper> = {
    suspend: () => ({}) as ReturnType<EndpointKeeper["suspend"]>,
    open: () => {
      throw full;
    },
  };
  const activation: Partial<Activation> = { launching: 0, adopting: 0, suspend: async () => [], resume: () => {} };
  const restart = createRestart({
    clock,
    launch: async () => successor as Successor,
    keeper: keeper as EndpointKeeper,
    connections: createConnections(clock),
    activation: activation as Activation,
    counts: () => ({ accepted: 0, lastConnectionId: 0n }),
    onBegin: () => {},
    onFailed: tell("failed"),
    onDeaf: tell("deaf"),
    onGone: tell("gone"),
    onFault: tell("fault"),
    onLeft: tell("left"),
  });
  await assert.rejects(restart.run(1_000), failed);
  assert.deepEqual(told, [
    ["deaf", full],
    ["failed", failed],
  ]);
});
