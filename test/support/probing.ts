/** Talking to a broker in ways a well-behaved client does not, and looking at it from outside. */
import { once } from "node:events";
import type { Socket } from "node:net";
import { Deadline } from "../../src/base/clock.ts";
import { encodeMessage } from "../../src/wire/codec.ts";
import { encodeRequest } from "../../src/wire/envelope.ts";
import { AdminRequestSchema, AdminVerb, type Refused } from "../../src/wire/messages.ts";
import { adminReply, converse, helloReply, refusedIn } from "./peers/raw-peer.ts";
import type { World } from "./world.ts";

export interface BrokerStatus {
  readonly accepting_hello: boolean;
  readonly connections_open: number;
  readonly launching: number;
  readonly shutting_down: boolean;
  readonly fd_pressure: { readonly demoted: boolean };
  readonly backends: readonly { readonly pid: number }[];
}

/** The bytes of an admin request; `extraBytes` make it large. */
export function adminBytes(verb: AdminVerb, more: { extraBytes?: number; drainMs?: number } = {}): Buffer {
  const payload = encodeMessage(AdminRequestSchema, {
    verb,
    json: true,
    outputPath: "x".repeat(more.extraBytes ?? 0),
    drainDeadlineMs: BigInt(more.drainMs ?? 0),
  });
  return encodeRequest({ payloadProtocol: 0xad01, payload, requestId: 1n });
}

export async function statusOf(endpoint: string): Promise<BrokerStatus> {
  return JSON.parse(adminReply(await converse(endpoint, adminBytes(AdminVerb.STATUS))).body) as BrokerStatus;
}

/** Resolves when the broker has noticed the end of every connection but the one that asks. */
export async function onlyWeAreConnected(endpoint: string): Promise<void> {
  while ((await statusOf(endpoint)).connections_open > 1);
}

/** A header that announces a body of `bodyBytes`. */
export function header(bodyBytes: number): Buffer {
  const bytes = Buffer.from([1, 0, 0, 0, 0]);
  bytes.writeUInt32LE(bodyBytes, 1);
  return bytes;
}

/**
 * Sends as much of `bytes` as the broker takes and reads what it said. Unlike a node:net socket this does not forget
 * the answer when writing fails, which it does as soon as the broker has made up its mind.
 */
export async function pour(world: World, endpoint: string, bytes: Buffer): Promise<Buffer> {
  const { clock, transport } = world.platform;
  const deadline = Deadline.after(clock, 60_000);
  const connection = await transport.connect(endpoint, deadline);
  try {
    await (async () => connection.writeAll(bytes, deadline))().catch(() => undefined);
    const head = await connection.readExactly(5, deadline);
    return Buffer.concat([head, await connection.readExactly(head.readUInt32LE(1), deadline)]);
  } finally {
    connection.close();
  }
}

export function refusalIn(bytes: Buffer): Refused {
  return refusedIn(helloReply(bytes));
}

/** Everything that comes until the other side closes. */
export async function rest(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  await once(socket, "close");
  return Buffer.concat(chunks);
}
