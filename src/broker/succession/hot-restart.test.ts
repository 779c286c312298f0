/** The order of a restart's steps, where a real process that fails could not show it: the other end is written here. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { BrokerError } from "../../base/errors.ts";
import { createManualClock } from "../../testing/manual-clock.ts";
import type { Activation } from "../activation/activation.ts";
import type { EndpointClaim } from "../endpoint/claim-endpoint.ts";
import type { EndpointKeeper } from "../endpoint/endpoint-keeper.ts";
import { createConnections } from "../serving/connections.ts";
import { createRestart, type Restart } from "./hot-restart.ts";
import type { Successor } from "./successor.ts";

interface Stage {
  readonly restart: Restart;
  /** What was done, in order. */
  readonly done: string[];
  /** What was reported of it, in order: all but its begin and its end. */
  readonly told: [what: string, ...about: unknown[]][];
  note(what: string): () => void;
}

/** A restart with this successor, by a broker that does what it is asked, unless `keeper` says otherwise. */
function restartWith(successor: Partial<Successor>, keeper: Partial<EndpointKeeper> = {}): Stage {
  const clock = createManualClock();
  const done: string[] = [];
  const told: Stage["told"] = [];
  const note = (what: string) => (): void => void done.push(what);
  const tell =
    (what: string) =>
    (...about: unknown[]): void =>
      void told.push([what, ...about]);
  const restart = createRestart({
    clock,
    launch: async () => ({ pid: 1, prepared: async () => "1.0.0", ...successor }) as Successor,
    keeper: {
      suspend: () => ({}) as EndpointClaim,
      open: note("accepts again"),
      letGo: note("lets go of its socket"),
      ...keeper,
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
    onFailed: tell("failed"),
    onDeaf: tell("deaf"),
    onGone: note("is gone"),
    onFault: tell("fault"),
    onLeft: tell("left"),
  });
  return { restart, done, told, note };
}

/** Reports that no test expects but the one that makes them. */
const troubles = ({ told }: Stage): Stage["told"] => told.filter(([what]) => what === "deaf" || what === "fault");

test("a new process that could not take over is gone before the old one goes on with what it was given", async () => {
  const stage = restartWith({
    handOver: () => Promise.reject(new BrokerError("RESTART_FAILED", "no room")),
    end: () =>
      new Promise((resolve) => {
        stage.note("ends the new process")();
        // Whatever does not wait for the end is done by then.
        setImmediate(() => {
          stage.note("the new process is gone")();
          resolve();
        });
      }),
  });
  const { restart, done } = stage;
  await assert.rejects(restart.run(1_000), { code: "RESTART_FAILED", message: /no room/ });
  assert.deepEqual(done.slice(0, 4), [
    "ends the new process",
    "the new process is gone",
    "goes on with its backends",
    "accepts again",
  ]);
  assert.deepEqual(troubles(stage), []);
});

test("a new process that has the broker's word is ended under no circumstances", async () => {
  const stage = restartWith({
    handOver: async () => {},
    yours: () => {
      stage.note("gives its word")();
      return Promise.reject(new BrokerError("RESTART_FAILED", "it died"));
    },
    end: async () => stage.note("ends the new process")(),
  });
  const { restart, done } = stage;
  await assert.rejects(restart.run(1_000), { code: "RESTART_FAILED", message: /it died/ });
  assert.deepEqual(done, ["gives its word", "lets go of its backends", "lets go of its socket", "is gone"]);
  assert.deepEqual(troubles(stage), []);
});

/** Guards against a broker that went on with its address and lock, and accepted no connection. */
test("a restart that is called off by a broker that cannot accept again is told as that, and as no fault to be ignored", async () => {
  const failed = new BrokerError("RESTART_FAILED", "the new process ended");
  const full = new BrokerError("IO_FAILED", "epoll_ctl: ENOSPC");
  const { restart, done, told } = restartWith(
    { handOver: () => Promise.reject(failed), end: async () => {} },
    {
      open: () => {
        throw full;
      },
    },
  );
  await assert.rejects(restart.run(1_000), failed);
  assert.deepEqual(told, [
    ["deaf", full],
    ["failed", failed],
  ]);
  assert.deepEqual(done, ["goes on with its backends"]);
});
