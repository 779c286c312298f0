import assert from "node:assert/strict";
import test from "node:test";
import { createManualClock } from "../../testing/manual-clock.ts";
import type { LeaseReport, QuiesceOutcome } from "../control/control-requests.ts";
import type { ControlSlot } from "../control/control-slot.ts";
import type { DrainedBackend } from "./drain.ts";
import { createDrain } from "./drain.ts";

function reportOf(requests: number | undefined): LeaseReport | undefined {
  return requests === undefined
    ? undefined
    : { idle: requests === 0, requests, connections: 0, held: 0, reasons: [], begun: 0n };
}

function setUp(init: { answers?: QuiesceOutcome[]; connections?: number | undefined; leases?: number } = {}) {
  const clock = createManualClock();
  const seen: string[] = [];
  const state = { connections: 0 as number | undefined, leases: undefined as number | undefined, ...init };
  let leaseChanged = (): void => {};
  const control: Pick<ControlSlot, "leases" | "onLeaseChange" | "quiesce"> = {
    leases: () => reportOf(state.leases),
    onLeaseChange: (callback) => {
      leaseChanged = () => callback(undefined);
      return () => {
        leaseChanged = () => {};
      };
    },
    quiesce: async () => {
      if (init.answers === undefined) return "unsupported";
      seen.push("asked");
      return init.answers.shift() ?? "quiesced";
    },
  };
  const launch = {
    control,
    connections: () => state.connections,
    closeEndpoint: () => seen.push("closed"),
  } as unknown as DrainedBackend;
  const drain = createDrain(clock, launch, {
    refused: () => seen.push("refused"),
    drained: () => seen.push("drained"),
  });
  const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  return { clock, seen, state, drain, settled, leaseChanged: () => leaseChanged() };
}

test("one that quiesces is asked and left to end: its endpoint is its own business, and nothing has a deadline", async () => {
  const { clock, seen, drain, settled } = setUp({ answers: ["quiesced"] });
  drain.begin();
  await settled();
  clock.advance(3_600_000);
  assert.deepEqual(seen, ["asked"]);
  assert.equal(clock.pendingTimers, 0);
});

test("one that refuses says so", async () => {
  const { seen, drain, settled } = setUp({ answers: ["refused"] });
  drain.begin();
  await settled();
  assert.deepEqual(seen, ["asked", "refused"]);
});

for (const answers of [undefined, ["unsupported" as const]]) {
  test(`for one that does not know the question (${answers === undefined ? "no channel" : "unsupported"}) the endpoint is closed first, then counted`, async () => {
    const { clock, seen, state, drain, settled } = setUp({ ...(answers && { answers }), connections: 2 });
    drain.begin();
    await settled();
    const asked = answers === undefined ? [] : ["asked"];
    // Whoever was just given the endpoint can still dial it.
    clock.advance(499);
    assert.deepEqual(seen, asked);
    clock.advance(1);
    assert.deepEqual(seen, [...asked, "closed"]);
    clock.advance(60_000);
    assert.deepEqual(seen, [...asked, "closed"]);
    state.connections = 0;
    clock.advance(2_000);
    assert.deepEqual(seen, [...asked, "closed", "drained"]);
    clock.advance(60_000);
    assert.equal(seen.length, asked.length + 2);
  });
}

test("what cannot be counted, or has a lease, is not drained", async () => {
  for (const init of [{ connections: undefined }, { leases: 1 }]) {
    const { clock, seen, drain, settled } = setUp(init);
    drain.begin();
    await settled();
    clock.advance(3_600_000);
    assert.deepEqual(seen, ["closed"]);
    drain.close();
    assert.equal(clock.pendingTimers, 0);
  }
});

test("one that has to go although it refused is asked again after a while, or when its leases change, once for each refusal", async () => {
  const { clock, seen, drain, settled, leaseChanged } = setUp({ answers: ["refused", "refused", "quiesced"] });
  drain.begin();
  await settled();
  drain.again();
  clock.advance(5_000);
  leaseChanged();
  await settled();
  // Meanwhile nobody new gets to it.
  assert.deepEqual(seen, ["asked", "refused", "closed", "asked", "refused"]);
  drain.again();
  leaseChanged();
  leaseChanged();
  clock.advance(5_000);
  await settled();
  assert.deepEqual(seen, ["asked", "refused", "closed", "asked", "refused", "asked"]);
});

test("nothing is said after the end", async () => {
  const { clock, seen, drain, settled } = setUp({ answers: ["refused"] });
  drain.begin();
  drain.close();
  await settled();
  clock.advance(60_000);
  assert.deepEqual(seen, ["asked"]);
});
