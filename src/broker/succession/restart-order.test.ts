/** The order of a restart's steps, where a real process that fails could not show it: the other end is written here. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { BrokerError } from "../../base/errors.ts";
import { createManualClock } from "../../testing/manual-clock.ts";
import type { Activation } from "../activation/activation.ts";
import type { EndpointClaim } from "../endpoint/claim-endpoint.ts";
import type { EndpointKeeper } from "../endpoint/endpoint-keeper.ts";
import { createConnections } from "../serving/connections.ts";
import { createRestart } from "./hot-restart.ts";
import type { Successor } from "./successor.ts";

function restartWith(successor: Partial<Successor>) {
  const clock = createManualClock();
  const done: string[] = [];
  const note =
    (what: string): (() => void) =>
    () =>
      void done.push(what);
  const restart = createRestart({
    clock,
    launch: async () => ({ pid: 1, prepared: async () => "1.0.0", ...successor }) as Successor,
    keeper: {
      suspend: () => ({}) as EndpointClaim,
      open: note("accepts again"),
      letGo: note("lets go of its socket"),
    } as Partial<EndpointKeeper> as EndpointKeeper,
    connections: createConnections(clock),
    activation: {
      launching: 0,
      adopting: 0,
      suspend: async () => [],
      resume: note("goes on with its backends"),
      letGo: note("lets go of its backends"),
    } as Partial<Activation> as Activation,
    counts: () => ({ accepted: 0, lastConnectionId: 0n }),
    onBegin: () => {},
    onFailed: () => {},
    onDeaf: (error) => assert.fail(String(error)),
    onGone: note("is gone"),
    onFault: (step) => assert.fail(step),
    onLeft: () => {},
  });
  return { restart, done, note };
}

test("a new process that could not take over is gone before the old one goes on with what it was given", async () => {
  const { restart, done, note } = restartWith({
    handOver: () => Promise.reject(new BrokerError("RESTART_FAILED", "no room")),
    end: () =>
      new Promise((resolve) => {
        note("ends the new process")();
        // Whatever does not wait for the end is done by then.
        setImmediate(() => {
          note("the new process is gone")();
          resolve();
        });
      }),
  });
  await assert.rejects(restart.run(1_000), { code: "RESTART_FAILED", message: /no room/ });
  assert.deepEqual(done.slice(0, 4), [
    "ends the new process",
    "the new process is gone",
    "goes on with its backends",
    "accepts again",
  ]);
});

test("a new process that has the broker's word is ended under no circumstances", async () => {
  const { restart, done, note } = restartWith({
    handOver: async () => {},
    yours: () => {
      note("gives its word")();
      return Promise.reject(new BrokerError("RESTART_FAILED", "it died"));
    },
    end: async () => note("ends the new process")(),
  });
  await assert.rejects(restart.run(1_000), { code: "RESTART_FAILED", message: /it died/ });
  assert.deepEqual(done, ["gives its word", "lets go of its backends", "lets go of its socket", "is gone"]);
});
