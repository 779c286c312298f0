/**
 * Taking over client connections (spec: handoff §11, backend-sdk §3). Reads offers from one connection of the broker,
 * the control channel or a v1 handoff connection, and answers each:
 *
 *   16 sideband bytes, with the client's descriptor on the first of them
 *   one frame with the offer, whose token must equal the sideband
 *
 * Invariants: a received descriptor is either delivered, exactly once and after the acknowledgement has been written, or
 * closed; nothing is read from it here, so that whoever serves it finds every byte the client has sent.
 */
import { isBrokerError, reasonOf } from "../base/errors.ts";
import type { TokenMemory } from "../model/handoff-tokens.ts";
import type { Connection, Platform } from "../platform/ports.ts";
import { decodeFrame } from "../wire/envelope.ts";
import { decodeOffer, encodeAck, equalTokens, type Offer } from "../wire/handoff.ts";
import type { Frame } from "../wire/messages.ts";
import { PAYLOAD_PROTOCOL } from "../wire/payload-protocol.ts";
import { createOfferReader, type OfferMessage } from "./offer-reader.ts";

export interface AcceptorOptions {
  readonly platform: Pick<Platform, "clock" | "transport" | "processes">;
  readonly tokens: TokenMemory;
  /** Gets every connection that was taken over. Consumes it. */
  readonly deliver: (connection: Connection) => void;
  /** False once no new connection is to be taken over. */
  readonly accepting: () => boolean;
  /** Frames that are no offers. Absent where only offers may come. */
  readonly onMessage?: (frame: Frame) => void;
}

/** From an offer's first byte to the last of its acknowledgement; the broker gives up after five seconds. */
const EXCHANGE_MS = 5_000;

/**
 * Serves offers until the broker ends the connection. Consumes it.
 *
 * @throws BrokerError FRAME_*, MESSAGE_MALFORMED, IO_FAILED, DEADLINE_EXCEEDED: the stream cannot be followed any more
 */
export async function acceptHandoffs(connection: Connection, options: AcceptorOptions): Promise<void> {
  const reader = createOfferReader(connection, { clock: options.platform.clock, messageMs: EXCHANGE_MS });
  try {
    for (let message = await reader.next(); message !== undefined; message = await reader.next())
      await answer(connection, message, options);
  } finally {
    ownDescriptors(options.platform, reader.takeLeftover()).closeAll();
    connection.close();
  }
}

async function answer(connection: Connection, message: OfferMessage, options: AcceptorOptions): Promise<void> {
  const { sideband, deadline } = message;
  const descriptors = ownDescriptors(options.platform, message.descriptors);
  try {
    const frame = decodeFrame(message.frameBody);
    if (frame.payloadProtocol !== PAYLOAD_PROTOCOL.handoff && options.onMessage !== undefined) {
      options.onMessage(frame);
      return;
    }
    const offer = decodeOffer(frame);
    const verdict = judge(options, offer, sideband, descriptors);
    const ack = { token: offer.token, correlationId: offer.correlationId };
    if ("rejected" in verdict) {
      await connection.writeAll(encodeAck({ ...ack, accepted: false, errorDetail: verdict.rejected }), deadline);
      return;
    }
    // Written before the first byte is read: without it the broker can be certain that nothing was.
    await connection.writeAll(encodeAck({ ...ack, accepted: true, errorDetail: "" }), deadline);
    options.deliver(descriptors.take(verdict.client));
  } finally {
    descriptors.closeAll();
  }
}

type Verdict = { readonly client: Connection } | { readonly rejected: string };

function judge(options: AcceptorOptions, offer: Offer, sideband: Uint8Array, descriptors: OwnedDescriptors): Verdict {
  if (!options.accepting()) return { rejected: "backend is shutting down" };
  if (descriptors.fault !== undefined) return { rejected: descriptors.fault };
  const [client, ...others] = descriptors.connections;
  // None arrives when this process has no room for it: the kernel drops it (recvmsg(2), MSG_CTRUNC).
  if (client === undefined) return { rejected: "handoff carried no descriptor" };
  if (others.length > 0) return { rejected: `handoff carried ${others.length + 1} descriptors; expected 1` };
  if (client.peer.uid !== options.platform.processes.selfUid)
    return { rejected: `handed-off connection belongs to uid ${client.peer.uid}` };
  if (!equalTokens(sideband, offer.token)) return { rejected: "handoff token mismatch" };
  const token = options.tokens.accept(offer.token, options.platform.clock.monotonicMs());
  return token.accepted ? { client } : { rejected: token.errorDetail };
}

/** What came with one message, as connections; closed unless taken. */
interface OwnedDescriptors {
  readonly connections: readonly Connection[];
  /** Why one of them is of no use. */
  readonly fault: string | undefined;
  take(connection: Connection): Connection;
  closeAll(): void;
}

function ownDescriptors(platform: Pick<Platform, "transport">, descriptors: readonly number[]): OwnedDescriptors {
  const connections: Connection[] = [];
  let fault: string | undefined;
  for (const descriptor of descriptors) {
    try {
      connections.push(platform.transport.adoptConnection(descriptor));
    } catch (error) {
      if (!isBrokerError(error)) throw error;
      fault = reasonOf(error);
    }
  }
  const mine = new Set(connections);
  return {
    connections,
    fault,
    take(connection) {
      mine.delete(connection);
      return connection;
    },
    closeAll() {
      for (const connection of mine) connection.close();
    },
  };
}
