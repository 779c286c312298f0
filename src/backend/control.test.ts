/** The SDK over a real control channel; the test is the broker at its other end, and behind the socket it dials. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { connectRaw, type RawClient, request, textOf } from "../../test/backend/support/raw-client.ts";
import { Deadline } from "../base/clock.ts";
import { readFrameBody } from "../exchange/frame-io.ts";
import { probeEndpoint } from "../exchange/probe-endpoint.ts";
import { loadPlatform } from "../platform/platform.ts";
import type { Connection, Listener, Platform } from "../platform/ports.ts";
import { createManualClock } from "../testing/manual-clock.ts";
import { type ControlArm, decodeControlMessage, encodeControlToBackend, NO_SIDEBAND } from "../wire/control.ts";
import { decodeFrame } from "../wire/envelope.ts";
import { createFrameDecoder } from "../wire/frame-decoder.ts";
import type { ControlMessage } from "../wire/messages.ts";
import { serveBackend } from "./serve-backend.ts";
import type { RunningBackend, ServeOptions } from "./serve-options.ts";

const platform = await loadPlatform();
const soon = (): Deadline => Deadline.after(platform.clock, 20_000);
const DONE = 1;

type Message = ControlMessage["message"];
type Kind = NonNullable<Message["case"]>;
type ValueOf<K extends Kind> = Extract<Message, { case: K }> extends { value: infer V } ? V : never;

/** The broker's end of one channel. */
class Broker {
  constructor(readonly connection: Connection) {}

  /** Messages of the given kind; others are passed over. */
  async next<K extends Kind>(kind: K): Promise<ValueOf<K>> {
    for (;;) {
      const body = await readFrameBody(this.connection, { maxBodyBytes: 65_536, deadline: soon() });
      const { message } = decodeControlMessage(decodeFrame(body));
      if (message.case === kind) return message.value as ValueOf<K>;
    }
  }

  async send(message: ControlArm): Promise<void> {
    await this.connection.writeAll(encodeControlToBackend(message), soon());
  }

  async ended(): Promise<void> {
    while ((await this.connection.readSome(65_536, soon())).length > 0);
  }
}

interface Bench {
  readonly backend: RunningBackend;
  readonly broker: Broker;
  readonly errors: unknown[];
  /** What the backend dials. */
  readonly brokerPath: string;
  /** Listens there from now on. */
  listen(): { next(): Promise<Broker>; close(): void };
  connect(): Promise<RawClient>;
}

async function setUp(
  t: TestContext,
  options: Partial<ServeOptions> = {},
  other: Partial<Platform> = {},
): Promise<Bench> {
  const directory = mkdtempSync(join(tmpdir(), "rpc-"));
  const path = join(directory, "s");
  const brokerPath = join(directory, "b");
  const errors: unknown[] = [];
  const closing: (() => void)[] = [];
  const { ours, theirs } = platform.transport.pair();
  const backend = await serveBackend(
    {
      protocol: 0xf001,
      handle: ({ payload }: { payload: Uint8Array }) => payload,
      onError: (error: unknown) => errors.push(error),
      ...options,
    } as ServeOptions,
    {
      platform: { ...platform, ...other },
      launchEnv: {
        RUNNING_PROCESS_BROKER_V1_BACKEND_PIPE: path,
        RUNNING_PROCESS_BROKER_CONTROL_FD: String(theirs),
        RUNNING_PROCESS_BROKER_ENDPOINT: brokerPath,
      },
    },
  );
  t.after(async () => {
    await backend.stop();
    ours.close();
    for (const close of closing) close();
    rmSync(directory, { recursive: true });
  });
  return {
    backend,
    broker: new Broker(ours),
    errors,
    brokerPath,
    listen() {
      const listener: Listener = platform.transport.listen(brokerPath);
      const waiting: ((broker: Broker) => void)[] = [];
      const come: Broker[] = [];
      listener.accept({
        onConnection(connection) {
          const broker = new Broker(connection);
          closing.push(() => connection.close());
          const taker = waiting.shift();
          if (taker === undefined) come.push(broker);
          else taker(broker);
        },
        onError: () => {},
      });
      closing.push(() => listener.close());
      return {
        next: async () => come.shift() ?? new Promise<Broker>((resolve) => waiting.push(resolve)),
        close: () => listener.close(),
      };
    },
    async connect() {
      const client = await connectRaw(path);
      closing.push(() => client.socket.destroy());
      return client;
    },
  };
}

function gate(): { readonly opened: Promise<void>; open(): void } {
  let open = (): void => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

test("a backend says what it can do, and then how much it has", async (t) => {
  const { broker } = await setUp(t);
  const { capabilities, features } = await broker.next("announce");
  assert.deepEqual([capabilities, features], [1n | (1n << 33n), 3n]);
  const { requests, connections, held, begun } = await broker.next("leases");
  assert.deepEqual([requests, connections, held, begun], [0, 0, 0, 0n]);
});

test("requests, connections and leases show in reports, and are gone from them when they are over", async (t) => {
  const { opened, open } = gate();
  const { broker, backend, connect } = await setUp(t, {
    protocol: 0xf001,
    handle: () => opened.then(() => Buffer.of(1)),
  });
  const until = async (wanted: readonly number[]): Promise<bigint> => {
    for (;;) {
      const { requests, connections, held, begun } = await broker.next("leases");
      if (`${[requests, connections, held]}` === `${wanted}`) return begun;
    }
  };
  await until([0, 0, 0]);
  const client = await connect();
  client.socket.write(request("a", 1n));
  client.socket.write(request("b", 2n));
  const lease = backend.lease("indexing");
  assert.equal(await until([2, 1, 1]), 3n);
  open();
  await until([0, 1, 1]);
  client.socket.destroy();
  await until([0, 0, 1]);
  lease.release();
  assert.equal(await until([0, 0, 0]), 3n);
});

test("a request whose client is gone counts while its handler runs, and one whose answer nobody reads until its connection ends", async (t) => {
  const { opened, open } = gate();
  const { broker, connect } = await setUp(t, {
    protocol: 0xf001,
    handle: () => opened.then(() => Buffer.alloc(8 << 20)),
  });
  const requests = async (wanted: number): Promise<void> => {
    while ((await broker.next("leases")).requests !== wanted);
  };
  const gone = await connect();
  gone.socket.write(request("a", 1n));
  await requests(1);
  gone.socket.destroy();
  const slow = await connect();
  slow.socket.write(request("b", 1n));
  await requests(2);
  // What follows its request ends this one's connection, from the backend's side.
  const malformed = await connect();
  malformed.socket.write(request("c", 1n));
  await requests(3);
  malformed.socket.write(Buffer.from([1, 255, 255, 255, 255]));
  await malformed.over;
  open();
  slow.socket.pause();
  await requests(1);
  slow.socket.destroy();
  await requests(0);
});

test("a path is let go by the author's hook, and each outcome finds its request", async (t) => {
  const asked: [string, boolean, boolean, boolean][] = [];
  const { broker, errors } = await setUp(t, {
    onReleaseHandles({ path, covers }) {
      asked.push([path, covers("/w/build"), covers("/w/build/x"), covers("/w/builds")]);
      if (path === "/broken") throw new Error("it is in use");
      return path === "/w/build";
    },
  });
  assert.equal((await broker.next("announce")).features, 7n);
  for (const [id, path] of [
    [1n, "/w/build"],
    [2n, "/other"],
    [3n, "/broken"],
  ] as const)
    await broker.send({ case: "releaseHandles", value: { id, path, timeoutMs: 5_000n } });
  const outcomes = [await broker.next("outcome"), await broker.next("outcome"), await broker.next("outcome")];
  assert.deepEqual(outcomes.map(({ id, status, detail }) => [id, status, detail]).sort(), [
    [1n, 1, ""],
    [2n, 2, ""],
    [3n, 4, "it is in use"],
  ]);
  assert.deepEqual(asked[0], ["/w/build", true, true, false]);
  assert.equal(errors.length, 1);
});

test("without a hook there is no means, and after its time the hook is told so", async (t) => {
  const plain = await setUp(t);
  await plain.broker.send({ case: "releaseHandles", value: { id: 9n, path: "/w", timeoutMs: 5_000n } });
  const { id, status } = await plain.broker.next("outcome");
  assert.deepEqual([id, status], [9n, 5]);
  const hooked = await setUp(t, {
    onReleaseHandles: ({ signal }) => new Promise((resolve) => signal.addEventListener("abort", () => resolve(false))),
  });
  await hooked.broker.send({ case: "releaseHandles", value: { id: 9n, path: "/w", timeoutMs: 1n } });
  assert.equal((await hooked.broker.next("outcome")).status, 2);
});

const IDLE = 1;
const MAINTENANCE = 3;

test("an idle backend that is asked to quiesce takes nothing new, answers and ends", async (t) => {
  const stopped: string[] = [];
  const { broker, backend, connect } = await setUp(t, { onStop: () => void stopped.push("onStop") });
  await broker.send({ case: "quiesce", value: { id: 5n, reason: IDLE, timeoutMs: 5_000n } });
  const { id, status } = await broker.next("outcome");
  assert.deepEqual([id, status, stopped], [5n, DONE, ["onStop"]]);
  assert.equal(await backend.closed, "quiesced");
  await broker.ended();
  await assert.rejects(connect());
});

test("a backend that has got work is not idle: it refuses, says why, and serves on", async (t) => {
  const { broker, backend, connect } = await setUp(t);
  const client = await connect();
  client.socket.write(request("a", 1n));
  await client.frame();
  await broker.send({ case: "quiesce", value: { id: 1n, reason: IDLE, timeoutMs: 5_000n } });
  const busy = await broker.next("outcome");
  assert.deepEqual([busy.status, busy.detail], [3, "1 open connections"]);
  client.socket.write(request("b", 2n));
  assert.equal(textOf(await client.frame()), "b");
  client.socket.destroy();
  while (backend.connections > 0) await new Promise(setImmediate);
  const lease = backend.lease("indexing");
  await broker.send({ case: "quiesce", value: { id: 2n, reason: IDLE, timeoutMs: 5_000n } });
  assert.equal((await broker.next("outcome")).detail, "1 leases (indexing)");
  lease.release();
});

test("the author's own code may refuse, and work that comes while it thinks is a refusal, too", async (t) => {
  const { opened, open } = gate();
  const asked = gate();
  let verdict: boolean | undefined = false;
  const { broker, backend } = await setUp(t, {
    async onQuiesce() {
      asked.open();
      await opened;
      return verdict as boolean;
    },
  });
  await broker.send({ case: "quiesce", value: { id: 1n, reason: IDLE, timeoutMs: 5_000n } });
  await asked.opened;
  const lease = backend.lease("came meanwhile");
  verdict = undefined;
  open();
  assert.equal((await broker.next("outcome")).detail, "1 leases (came meanwhile)");
  lease.release();
  verdict = false;
  await broker.send({ case: "quiesce", value: { id: 2n, reason: MAINTENANCE, timeoutMs: 5_000n } });
  assert.deepEqual([(await broker.next("outcome")).detail], ["the backend's own code refused"]);
});

test("for maintenance what is in flight is finished, leases included, before the outcome is sent", async (t) => {
  const { opened, open } = gate();
  const { broker, backend, connect } = await setUp(t, {
    protocol: 0xf001,
    handle: () => opened.then(() => Buffer.from("done")),
    // Not what ends it: a quiesce has no limit of its own.
    stopTimeoutMs: 1,
  });
  const client = await connect();
  client.socket.write(request("a", 1n));
  while ((await broker.next("leases")).requests === 0);
  const lease = backend.lease("saving");
  await broker.send({ case: "quiesce", value: { id: 1n, reason: MAINTENANCE, timeoutMs: 5_000n } });
  // Nothing new meanwhile.
  while (await connectable(connect));
  open();
  assert.equal(textOf(await client.frame()), "done");
  await client.over;
  // With nobody connected any more it still waits for the lease, and answers what else it is asked.
  await broker.send({ case: "releaseHandles", value: { id: 2n, path: "/w", timeoutMs: 5_000n } });
  assert.equal((await broker.next("outcome")).id, 2n);
  lease.release();
  const outcome = await broker.next("outcome");
  assert.deepEqual([outcome.id, outcome.status], [1n, DONE]);
  assert.equal(await backend.closed, "quiesced");
});

async function connectable(connect: () => Promise<RawClient>): Promise<boolean> {
  try {
    (await connect()).socket.destroy();
    return true;
  } catch {
    return false;
  }
}

test("a stop that comes upon a quiesce sets the limit that this has not", async (t) => {
  const { broker, backend, connect } = await setUp(t, {
    protocol: 0xf001,
    handle: () => new Promise<Uint8Array>(() => {}),
    stopTimeoutMs: 1,
  });
  const client = await connect();
  client.socket.write(request("never", 1n));
  while ((await broker.next("leases")).requests === 0);
  backend.lease("never released");
  await broker.send({ case: "quiesce", value: { id: 1n, reason: MAINTENANCE, timeoutMs: 5_000n } });
  while (await connectable(connect));
  await backend.stop();
  assert.equal(await backend.closed, "quiesced");
});

test("messages it does not know, and frames of other protocols, mean nothing to a backend", async (t) => {
  const { broker, errors } = await setUp(t);
  const unknownArm = Buffer.from("01 0b000000 0801 1002 2205 9a0602 0801".replaceAll(" ", ""), "hex");
  const otherProtocol = Buffer.from("01 07000000 0801 1002 18 8180 04".replaceAll(" ", ""), "hex");
  otherProtocol.writeUInt32LE(otherProtocol.length - 5, 1);
  unknownArm.writeUInt32LE(unknownArm.length - 5, 1);
  for (const frame of [unknownArm, otherProtocol])
    await broker.connection.writeAll(Buffer.concat([NO_SIDEBAND, frame]), soon());
  await broker.send({ case: "releaseHandles", value: { id: 1n, path: "/w", timeoutMs: 5_000n } });
  assert.equal((await broker.next("outcome")).id, 1n);
  assert.deepEqual(errors, []);
});

for (const [what, bytes] of [
  ["garbage", Buffer.from("garbage, and more of it than sideband and header")],
  ["a message that is none", Buffer.concat([NO_SIDEBAND, Buffer.from("010800000008011002220208ff", "hex")])],
  ["a frame above 64 KiB", Buffer.concat([NO_SIDEBAND, Buffer.from("0101000100", "hex")])],
] as const) {
  test(`${what} ends the channel only: clients are served, and the backend dials for another one`, async (t) => {
    const { broker, connect, listen, errors } = await setUp(t);
    const listening = listen();
    await broker.connection.writeAll(bytes, soon());
    await broker.ended();
    const client = await connect();
    client.socket.write(request("still", 1n));
    assert.equal(textOf(await client.frame()), "still");
    const next = await listening.next();
    assert.ok((await next.next("attach")).pid > 0);
    assert.equal(errors.length, 1);
  });
}

test("a backend whose broker is gone attaches to the next one, and is its as soon as that says so", async (t) => {
  const { broker, backend, listen, connect } = await setUp(t);
  await broker.next("leases");
  const listening = listen();
  broker.connection.close();
  const next = await listening.next();
  const { endpoint, pid } = await next.next("attach");
  assert.deepEqual([endpoint, pid, next.connection.peer.pid], [backend.endpoint, process.pid, process.pid]);
  assert.equal((await next.next("announce")).capabilities, 1n | (1n << 33n));
  await next.send({ case: "attached", value: {} });
  const lease = backend.lease("after");
  while ((await next.next("leases")).held === 0);
  lease.release();
  // And the one after that.
  next.connection.close();
  const third = await listening.next();
  await third.next("attach");
  const client = await connect();
  client.socket.write(request("served throughout", 1n));
  assert.equal(textOf(await client.frame()), "served throughout");
});

test("a broker that closes, or listens only later, is dialled again", async (t) => {
  const { broker, listen, errors } = await setUp(t);
  broker.connection.close();
  // Its first try meets nobody.
  await new Promise((resolve) => setImmediate(resolve));
  const listening = listen();
  for (let i = 0; i < 3; i++) {
    const refusing = await listening.next();
    await refusing.next("attach");
    refusing.connection.close();
  }
  assert.deepEqual(errors, []);
});

test("the waits get longer with each failure, and are short again after a broker has taken the backend", async (t) => {
  const clock = createManualClock();
  const { broker, listen } = await setUp(t, {}, { clock });
  const listening = listen();
  let last = broker;
  /** Closes the channel; the backend must dial again when these milliseconds have passed, and not before. */
  const redialledAfter = async (ms: number): Promise<Broker> => {
    last.connection.close();
    // Nothing else runs by this clock.
    while (clock.pendingTimers === 0) await new Promise((resolve) => setImmediate(resolve));
    clock.advance(ms - 1);
    assert.equal(clock.pendingTimers, 1);
    clock.advance(1);
    last = await listening.next();
    await last.next("attach");
    return last;
  };
  for (const ms of [50, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]) await redialledAfter(ms);
  await last.send({ case: "attached", value: {} });
  await last.next("leases");
  await redialledAfter(50);
});

test("nothing is said to a broker of another user", async (t) => {
  const processes = Object.create(platform.processes, { selfUid: { value: platform.processes.selfUid + 1 } });
  const { broker, listen } = await setUp(t, {}, { processes });
  const listening = listen();
  broker.connection.close();
  assert.equal((await (await listening.next()).connection.readExactly(1, soon())).length, 0);
});

test("a probe is a reason to dial at once", async (t) => {
  const clock = createManualClock();
  const { broker, backend, listen } = await setUp(t, {}, { clock });
  broker.connection.close();
  const listening = listen();
  let come: Broker | undefined;
  void listening.next().then((next) => {
    come = next;
  });
  // The first probe may be answered before the end of the channel is seen. No time passes.
  while (come === undefined) (await probeEndpoint(platform, backend.endpoint, { deadline: soon() })).listener?.close();
  await come.next("attach");
});

test("a broker that reads nothing costs the backend the channel, not its clients, and gets the whole of each message", async (t) => {
  const { broker, connect, listen } = await setUp(t, {
    onReleaseHandles() {
      throw new Error("x".repeat(1_000));
    },
    onError() {},
  });
  const listening = listen();
  // Answered with more than the socket holds, and nothing of it is read.
  for (let id = 1n; id <= 500n; id++)
    await broker.send({ case: "releaseHandles", value: { id, path: "/w", timeoutMs: 5_000n } });
  const next = await listening.next();
  await next.next("attach");
  const client = await connect();
  client.socket.write(request("served", 1n));
  assert.equal(textOf(await client.frame()), "served");
  // What had room is whole: the last thing that is read is the end between two messages.
  const decoder = createFrameDecoder();
  let outcomes = 0;
  for (;;) {
    const chunk = await broker.connection.readSome(65_536, soon());
    if (chunk.length === 0) break;
    decoder.push(chunk);
    for (let body = decoder.next(); body !== undefined; body = decoder.next())
      if (decodeControlMessage(decodeFrame(body)).message.case === "outcome") outcomes++;
  }
  assert.ok(outcomes > 10 && outcomes < 500, `${outcomes}`);
  assert.equal(decoder.bufferedBytes, 0);
});

test("a backend that stops closes its channel, and looks for no other", async (t) => {
  const { broker, backend, listen } = await setUp(t);
  const listening = listen();
  let dialled = 0;
  void listening.next().then(() => dialled++);
  await backend.stop();
  await broker.ended();
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(dialled, 0);
});
