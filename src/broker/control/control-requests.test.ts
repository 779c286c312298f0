/** What a broker asks over a real control channel; the test is the backend at its other end. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { Deadline } from "../../base/clock.ts";
import { loadPlatform } from "../../platform/platform.ts";
import type { Connection } from "../../platform/ports/index.ts";
import { createManualClock, type ManualClock } from "../../testing/manual-clock.ts";
import { type ControlArm, decodeControlMessage, encodeAnnounce, encodeControl } from "../../wire/control.ts";
import { decodeFrame } from "../../wire/envelope.ts";
import type { ControlMessage } from "../../wire/messages.ts";
import type { LeaseReport } from "./control-requests.ts";
import { type ControlSlot, createControlSlot } from "./control-slot.ts";

const platform = await loadPlatform();
const soon = (): Deadline => Deadline.after(platform.clock, 20_000);
const ALL = 7n;

interface Bench {
  readonly clock: ManualClock;
  readonly slot: ControlSlot;
  readonly backend: Connection;
  say(...messages: ControlArm[]): Promise<void>;
  /** The next message to the backend, whose sideband must be empty. */
  heard(): Promise<ControlMessage["message"]>;
  /** Resolves once everything said so far has been taken. */
  taken(): Promise<void>;
  in(ms: number): Deadline;
}

async function setUp(t: TestContext, features = ALL): Promise<Bench> {
  const clock = createManualClock();
  const { ours, theirs } = platform.transport.pair();
  const backend = platform.transport.adoptConnection(theirs.take());
  const slot = createControlSlot({ clock }, { connection: ours });
  t.after(() => {
    backend.close();
    slot.close();
    ours.close();
  });
  return { ...(await begin(backend, slot, features)), clock, in: (ms) => Deadline.after(clock, ms) };
}

async function begin(backend: Connection, slot: ControlSlot, features: bigint): Promise<Omit<Bench, "clock" | "in">> {
  let begun = 1_000n;
  const say: Bench["say"] = async (...messages) => backend.writeAll(Buffer.concat(messages.map(encodeControl)), soon());
  const bench: Omit<Bench, "clock" | "in"> = {
    slot,
    backend,
    say,
    async heard() {
      assert.deepEqual(await backend.readExactly(16, soon()), Buffer.alloc(16));
      const header = await backend.readExactly(5, soon());
      return decodeControlMessage(decodeFrame(await backend.readExactly(header.readUInt32LE(1), soon()))).message;
    },
    async taken() {
      begun++;
      await say({ case: "leases", value: { begun } });
      while (slot.leases()?.begun !== begun) await new Promise((resolve) => setImmediate(resolve));
    },
  };
  await backend.writeAll(encodeAnnounce(1n, features), soon());
  await bench.taken();
  return bench;
}

test("nothing is asked of a backend that has not said that it answers", async (t) => {
  const at = await setUp(t, 0n);
  assert.equal(await at.slot.quiesce(at.in(1), "maintenance"), "unsupported");
  assert.deepEqual(await at.slot.releaseHandles("/w", at.in(1)), { result: "unsupported", detail: "" });
  assert.equal(at.clock.pendingTimers, 0);
});

test("a request tells how long it is waited for, and its outcome finds it in whatever order they come", async (t) => {
  const at = await setUp(t);
  const paths = ["/a", "/b", "/c", "/d", "/e"];
  const results = paths.map((path) => at.slot.releaseHandles(path, at.in(1_500)));
  const ids: bigint[] = [];
  for (const path of paths) {
    const message = await at.heard();
    assert.ok(message.case === "releaseHandles");
    assert.deepEqual([message.value.path, message.value.timeoutMs], [path, 1_500n]);
    ids.push(message.value.id);
  }
  const statuses = [1, 2, 4, 5, 77];
  const outcomes = ids.map(
    (id, i): ControlArm => ({ case: "outcome", value: { id, status: statuses[i] ?? 0, detail: `d${i}` } }),
  );
  await at.say(...outcomes.reverse());
  assert.deepEqual(
    (await Promise.all(results)).map(({ result, detail }) => [result, detail]),
    [
      ["released", "d0"],
      ["nothing-held", "d1"],
      ["failed", "d2"],
      ["unsupported", "d3"],
      ["failed", "d4"],
    ],
  );
  assert.equal(at.clock.pendingTimers, 0);
});

for (const [status, outcome] of [
  [1, "quiesced"],
  [3, "refused"],
  [4, "refused"],
  [5, "unsupported"],
] as const) {
  test(`a backend that answers ${status} to a quiesce is ${outcome}`, async (t) => {
    const at = await setUp(t);
    const asked = at.slot.quiesce(at.in(1_000), "idle-timeout");
    const message = await at.heard();
    assert.ok(message.case === "quiesce");
    assert.equal(message.value.reason, 1);
    await at.say({ case: "outcome", value: { id: message.value.id, status } });
    assert.equal(await asked, outcome);
  });
}

test("an outcome that comes too late, twice, or for nothing that was asked is ignored", async (t) => {
  const at = await setUp(t);
  const asked = at.slot.quiesce(at.in(1_000), "maintenance");
  const message = await at.heard();
  assert.ok(message.case === "quiesce");
  at.clock.advance(1_000);
  assert.equal(await asked, "timed-out");
  const late: ControlArm = { case: "outcome", value: { id: message.value.id, status: 1 } };
  await at.say(late, late, { case: "outcome", value: { id: 4711n, status: 1 } });
  await at.taken();
  const next = at.slot.releaseHandles("/w", at.in(1_000));
  const again = await at.heard();
  assert.ok(again.case === "releaseHandles" && again.value.id !== message.value.id);
  await at.say({ case: "outcome", value: { id: again.value.id, status: 2 } });
  assert.equal((await next).result, "nothing-held");
});

test("the end of the channel ends what waits, and reports with it", async (t) => {
  const at = await setUp(t);
  const changes: (LeaseReport | undefined)[] = [];
  at.slot.onLeaseChange((report) => changes.push(report));
  const [quiesce, release] = [at.slot.quiesce(at.in(1_000), "maintenance"), at.slot.releaseHandles("/w", at.in(1_000))];
  await at.heard();
  at.backend.close();
  assert.equal(await quiesce, "refused");
  assert.equal((await release).result, "failed");
  assert.equal(at.slot.leases(), undefined);
  assert.deepEqual(changes, [undefined]);
  assert.equal((await at.slot.releaseHandles("/w", at.in(1_000))).result, "unsupported");
  assert.equal(at.clock.pendingTimers, 0);
});

test("reports are passed on when they change, cut to what may be kept", async (t) => {
  const at = await setUp(t);
  const changes: (LeaseReport | undefined)[] = [];
  at.slot.onLeaseChange((report) => changes.push(report));
  const reasons = Array.from({ length: 20 }, () => "r".repeat(1_000));
  const busy: ControlArm = { case: "leases", value: { requests: 1, connections: 2, held: 20, reasons, begun: 5n } };
  await at.say(busy, busy, { case: "leases", value: { begun: 5n } }, { case: "leases", value: { begun: 6n } });
  await at.taken();
  assert.deepEqual(
    changes
      .slice(0, 3)
      .map((report) => [report?.idle, report?.requests, report?.connections, report?.held, report?.begun]),
    [
      [false, 1, 2, 20, 5n],
      [true, 0, 0, 0, 5n],
      // Idle before and after, and yet there was work.
      [true, 0, 0, 0, 6n],
    ],
  );
  assert.deepEqual([changes[0]?.reasons.length, changes[0]?.reasons[0]?.length], [8, 64]);
});

test("messages that a backend may not send, and arms nobody knows, are ignored", async (t) => {
  const at = await setUp(t);
  await at.say(
    { case: "attach", value: { endpoint: "/x", pid: 1 } },
    { case: "quiesce", value: { id: 1n } },
    { case: undefined },
  );
  await at.taken();
  assert.ok(at.slot.way() !== undefined);
});

for (const [what, bytes] of [
  ["a message that is none", Buffer.from("0108000000080110022202 12ff".replaceAll(" ", ""), "hex")],
  ["a frame above 64 KiB", Buffer.from("0101000100", "hex")],
] as const) {
  test(`${what} ends the channel, and with it what waits`, async (t) => {
    const at = await setUp(t);
    const asked = at.slot.releaseHandles("/w", at.in(1_000));
    await at.heard();
    await at.backend.writeAll(bytes, soon());
    assert.equal((await asked).result, "failed");
    assert.equal(at.slot.way(), undefined);
    assert.equal((await at.backend.readExactly(1, soon())).length, 0);
  });
}

test("a backend that reads nothing costs requests their time and no more: the channel goes on, none is half sent", async (t) => {
  const at = await setUp(t);
  const path = `/${"x".repeat(4_000)}`;
  const asked: Promise<{ result: string }>[] = [];
  // More than any socket buffer holds.
  for (let i = 0; i < 500; i++) asked.push(at.slot.releaseHandles(path, at.in(1_000)));
  await new Promise((resolve) => setImmediate(resolve));
  at.clock.advance(1_000);
  const results = await Promise.all(asked);
  assert.ok(results.every(({ result }) => result === "timed-out"));
  const next = at.slot.releaseHandles("/last", Deadline.after(platform.clock, 20_000));
  for (;;) {
    const message = await at.heard();
    assert.ok(message.case === "releaseHandles");
    if (message.value.path !== "/last") continue;
    await at.say({ case: "outcome", value: { id: message.value.id, status: 1 } });
    break;
  }
  assert.equal((await next).result, "released");
});

test("a message that had room for its beginning only is sent whole all the same", async (t) => {
  const { ours, theirs } = platform.transport.pair();
  const backend = platform.transport.adoptConnection(theirs.take());
  const narrow: Connection = Object.create(ours, {
    sendNow: { value: (bytes: Uint8Array) => ours.sendNow(bytes.subarray(0, 7)) },
    readNow: { value: ours.readNow.bind(ours) },
    watchReadable: { value: ours.watchReadable.bind(ours) },
    writeAll: { value: ours.writeAll.bind(ours) },
    close: { value: ours.close.bind(ours) },
  });
  const slot = createControlSlot(platform, { connection: narrow });
  t.after(() => {
    backend.close();
    slot.close();
  });
  const { heard, say } = await begin(backend, slot, ALL);
  const asked = ["/a", "/b"].map((path) => slot.releaseHandles(path, soon()));
  for (const path of ["/a", "/b"]) {
    const message = await heard();
    assert.ok(message.case === "releaseHandles");
    assert.equal(message.value.path, path);
    await say({ case: "outcome", value: { id: message.value.id, status: 1 } });
  }
  assert.deepEqual(
    (await Promise.all(asked)).map(({ result }) => result),
    ["released", "released"],
  );
});

test("a channel that is attached takes the place of the one before, and is told so", async (t) => {
  const at = await setUp(t);
  const changes: (LeaseReport | undefined)[] = [];
  at.slot.onLeaseChange((report) => changes.push(report));
  const { ours, theirs } = platform.transport.pair();
  const backend = platform.transport.adoptConnection(theirs.take());
  t.after(() => backend.close());
  at.slot.attach(ours);
  const next = await begin(backend, at.slot, ALL);
  assert.equal((await next.heard()).case, "attached");
  // The old one is let go, and has nothing to say any more.
  assert.equal((await at.backend.readExactly(1, soon())).length, 0);
  const asked = at.slot.releaseHandles("/w", at.in(1_000));
  const message = await next.heard();
  assert.ok(message.case === "releaseHandles");
  await next.say({ case: "outcome", value: { id: message.value.id, status: 1 } });
  assert.equal((await asked).result, "released");
  assert.ok(changes.length > 0 && !changes.includes(undefined));
});

test("an empty slot knows nothing, and takes a channel later", async (t) => {
  const clock = createManualClock();
  const slot = createControlSlot({ clock });
  assert.deepEqual([slot.way(), slot.leases()], [undefined, undefined]);
  assert.equal(await slot.quiesce(Deadline.after(clock, 1), "maintenance"), "unsupported");
  assert.equal((await slot.releaseHandles("/w", Deadline.after(clock, 1))).result, "unsupported");
  const { ours, theirs } = platform.transport.pair();
  const backend = platform.transport.adoptConnection(theirs.take());
  t.after(() => {
    backend.close();
    slot.close();
  });
  slot.attach(ours);
  await begin(backend, slot, ALL);
  assert.ok(slot.way() !== undefined);
});
