/** A world with one broker, backends that write down what happens to them, and clients of every kind. */
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { Deadline } from "../../src/base/clock.ts";
import { openSession } from "../../src/client/index.ts";
import type { Session, SessionOptions } from "../../src/client/session.ts";
import { adminRequest } from "../../src/exchange/admin-client.ts";
import { readFrameBody } from "../../src/exchange/frame-io.ts";
import type { Connection } from "../../src/platform/ports/index.ts";
import { decodeMessage } from "../../src/wire/codec.ts";
import { decodeFrame } from "../../src/wire/envelope.ts";
import { AdminVerb, type Frame, type HandoffAck, HandoffAckSchema, type Negotiated } from "../../src/wire/messages.ts";
import { launchingIn, logLines } from "./launching.ts";
import { helloBytes, helloReply, negotiatedIn } from "./peers/raw-peer.ts";
import { descriptorsOf } from "./process-facts.ts";
import { createWorld, type RunningBroker, type World } from "./world.ts";

export const PROTOCOL = 0xf001;
export const HASHING = 0xf002;
/** Bits of Hello and Negotiated. */
export const V1 = 1n;
export const DIRECT = 1n | (1n << 32n);

export interface Handing {
  readonly world: World;
  readonly broker: RunningBroker;
  /** Defines a service on fixtures/handoff-counts.mjs, or on handoff-scripted.mjs when there is a plan. */
  define(service: string, options?: { plan?: string; labels?: Record<string, string> }): void;
  /** What happened in backends of the service, of all their processes. */
  journal(service: string): string[];
  /** Writes the file that a backend whose plan is "late" waits for. */
  go(service: string): void;
  open(service: string, options?: Partial<SessionOptions>): Promise<Session>;
  raw(service: string, capabilities: bigint): Promise<RawClient>;
  /** Like `raw`, as soon as the Hello is on its way. */
  ask(service: string, capabilities: bigint): Promise<{ readonly answered: Promise<RawClient> }>;
  /** The first `count` handoffs, once they have ended: [type, mode, stage, reason, severed] of their log lines. */
  outcomes(count: number): Promise<unknown[][]>;
  shutDown(): Promise<void>;
}

/** A client by hand: one connection, on which the broker has answered. */
export interface RawClient {
  readonly connection: Connection;
  readonly negotiated: Negotiated;
  /** The next frame, which must be a ready event or a refusal; undefined at the end of the stream. */
  event(): Promise<{ frame: Frame; ack: HandoffAck } | undefined>;
  /** Sends 0xC3 and resolves with what comes back: 0x5A from a backend, nothing at the end of the stream. */
  knock(): Promise<number | undefined>;
}

/** `dies`: the broker is killed, and what it leaves is no concern of the test. */
export async function createHanding(
  t: TestContext,
  { args = [], dies = false }: { args?: readonly string[]; dies?: boolean } = {},
): Promise<Handing> {
  let handing: Handing | undefined;
  // Before the world's own hook: they run in the order of registration.
  t.after(() => handing?.shutDown());
  const world = await createWorld(t, { leavesProcesses: dies });
  const broker = await world.startBroker([
    ...["--socket", join(world.runtime, "b.sock"), "--hello-rate", "0", "--log-level", "debug"],
    ...args,
  ]);
  handing = handingIn(world, broker);
  return handing;
}

export function handingIn(world: World, broker: RunningBroker): Handing {
  const file = (service: string, kind: string): string => join(world.root, `${service}.${kind}`);
  return {
    world,
    broker,
    define(serviceName, { plan, labels } = {}) {
      world.define({
        serviceName,
        binary: plan === undefined ? "handoff-counts.mjs" : "handoff-scripted.mjs",
        labels: {
          "exec.env.JOURNAL": file(serviceName, "journal"),
          "exec.env.GO": file(serviceName, "go"),
          ...(plan !== undefined && { "exec.env.PLAN": plan }),
          ...labels,
        },
      });
    },
    journal: (service) => {
      const path = file(service, "journal");
      return existsSync(path) ? readFileSync(path, "utf8").trimEnd().split("\n") : [];
    },
    go: (service) => writeFileSync(file(service, "go"), ""),
    open: (service, options = {}) =>
      openSession({
        service,
        version: "1.0.0",
        env: world.env,
        broker: { endpoint: broker.endpoint, autoStart: false },
        ...options,
      }),
    raw: async (service, capabilities) => (await rawClient(world, broker.endpoint, service, capabilities)).answered,
    ask: (service, capabilities) => rawClient(world, broker.endpoint, service, capabilities),
    async outcomes(count) {
      for (;;) {
        const lines = completeLines(broker).filter(({ type }) => String(type).startsWith("handoff-"));
        if (lines.length >= count)
          return lines.map(({ type, mode, stage, reason, severed }) => [type, mode, stage, reason, severed]);
        await once(broker.process.stderr ?? broker.process, "data");
      }
    },
    shutDown: () => launchingIn(world, broker).shutDown(),
  };
}

/** The last line may still be on its way. */
function completeLines(broker: RunningBroker): Record<string, unknown>[] {
  const log = broker.log();
  const text = log.slice(0, log.lastIndexOf("\n") + 1);
  return logLines({ ...broker, log: () => text });
}

async function rawClient(
  world: World,
  endpoint: string,
  serviceName: string,
  clientCapabilities: bigint,
): Promise<{ answered: Promise<RawClient> }> {
  const { clock, transport } = world.platform;
  const deadline = Deadline.after(clock, 30_000);
  const connection = await transport.connect(endpoint, deadline);
  const read = async (): Promise<Buffer> => readFrameBody(connection, { maxBodyBytes: 1 << 20, deadline });
  await connection.writeAll(helloBytes({ serviceName, clientCapabilities }), deadline);
  const answered = read().then(
    (body) => clientOn(connection, body, { read, deadline }),
    (error: unknown) => {
      connection.close();
      throw error;
    },
  );
  return { answered };
}

function clientOn(
  connection: Connection,
  reply: Buffer,
  { read, deadline }: { read: () => Promise<Buffer>; deadline: Deadline },
): RawClient {
  const header = Buffer.alloc(5);
  header.writeUInt8(1, 0);
  header.writeUInt32LE(reply.length, 1);
  return {
    connection,
    negotiated: negotiatedIn(helloReply(Buffer.concat([header, reply]))),
    async event() {
      try {
        const frame = decodeFrame(await read());
        return { frame, ack: decodeMessage(HandoffAckSchema, frame.payload) };
      } catch (error) {
        if ((error as { code?: string }).code === "FRAME_TRUNCATED") return undefined;
        throw error;
      }
    },
    async knock() {
      await connection.writeAll(Buffer.of(0xc3), deadline);
      return (await connection.readExactly(1, deadline))[0];
    },
  };
}

/** The broker handles events one by one: what it had to do before is done when this resolves. */
export async function brokerRoundTrip({ world, broker }: Pick<Handing, "world" | "broker">): Promise<void> {
  const { clock, transport } = world.platform;
  const deadline = Deadline.after(clock, 10_000);
  const connection = await transport.connect(broker.endpoint, deadline);
  // No frame: the broker answers with a refusal and closes.
  await connection.writeAll(Buffer.of(0xff), deadline);
  await connection.readExactly(1 << 16, deadline);
  connection.close();
}

/** When the broker took the last Hello for the one backend of a service, by its own word. */
export async function lastHelloMs({ world, broker }: Pick<Handing, "world" | "broker">, serviceName: string) {
  const query = { verb: AdminVerb.BACKEND_HEALTH, serviceName };
  const { body } = await adminRequest(world.platform, broker.endpoint, query);
  const { backends } = JSON.parse(body) as { backends: { last_hello_unix_ms: number }[] };
  return backends[0]?.last_hello_unix_ms ?? 0;
}

/**
 * Resolves once the broker has no more descriptors than `count`.
 *
 * @throws Error when that does not happen within a hundred round trips
 */
export async function brokerSettles(at: Pick<Handing, "world" | "broker">, count: number): Promise<void> {
  for (let round = 0; round < 100; round++) {
    if (descriptorsOf(at.broker.pid) <= count) return;
    await brokerRoundTrip(at);
  }
  throw new Error(`the broker has ${descriptorsOf(at.broker.pid)} descriptors, expected ${count}`);
}

export function answerOf(response: Uint8Array): string {
  return Buffer.from(response).toString();
}
