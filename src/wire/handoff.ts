/**
 * Handing a client connection over (payload protocol 0xD0FF): the offer from broker to backend, the acknowledgement
 * back, and the ready event that the broker relays to the client. The acknowledgement and the event have the same
 * payload. Every frame carries the correlation id, which is `Negotiated.connection_id`, as its request id.
 */
import { hasCode } from "../base/errors.ts";
import { decodeMessage, encodeMessage } from "./codec.ts";
import {
  type EnvelopeFault,
  encodeEvent,
  encodeRequest,
  encodeResponse,
  envelopeFault,
  frameUnexpected,
  NO_CORRELATION,
} from "./envelope.ts";
import { type Frame, FrameKind, type HandoffAck, HandoffAckSchema, HandoffOfferSchema } from "./messages.ts";
import { PAYLOAD_PROTOCOL } from "./payload-protocol.ts";

/** Bytes of a handoff token. Frozen. */
export const HANDOFF_TOKEN_BYTES = 16;

const payloadProtocol = PAYLOAD_PROTOCOL.handoff;

export interface Offer {
  /** Windows: the connection's handle in the backend's handle table. Unix: 0, the descriptor travels beside the bytes. */
  readonly handleValue: bigint;
  /** 16 bytes in a good offer; what came, otherwise. */
  readonly token: Uint8Array;
  readonly serviceName: string;
  readonly correlationId: bigint;
  /** Direct mode: what the backend writes to the client before anything of its own. Default: nothing. */
  readonly clientReply?: Uint8Array;
}

export interface Ack {
  /** The token as it was offered, however malformed. */
  readonly token: Uint8Array;
  readonly accepted: boolean;
  /** Why not, when not accepted; else empty. */
  readonly errorDetail: string;
  readonly correlationId: bigint;
}

/** A good acknowledgement: accepted, or rejected for the reason in `detail`, which is the backend's own text. */
export type AckVerdict =
  | { readonly ok: true }
  | { readonly ok: false; readonly rejected: true; readonly detail: string };

/** The offer as complete stream bytes. */
export function encodeOffer(offer: Offer): Buffer {
  const payload = encodeMessage(HandoffOfferSchema, offer);
  return encodeRequest({ payloadProtocol, payload, requestId: offer.correlationId });
}

/**
 * The offer in a frame. Its token and reply are views of the frame's bytes and is not judged here.
 *
 * @throws BrokerError FRAME_UNEXPECTED with the field in `details.check`, MESSAGE_MALFORMED; no acknowledgement is due.
 */
export function decodeOffer(frame: Frame): Offer {
  checkHandoffFrame(frame, FrameKind.REQUEST);
  const { handleValue, token, serviceName, correlationId, clientReply } = decodeMessage(
    HandoffOfferSchema,
    frame.payload,
  );
  if (frame.requestId !== correlationId)
    throw frameUnexpected("request_id", "frame request_id does not match HandoffOffer correlation_id");
  return { handleValue, token, serviceName, correlationId, clientReply };
}

/** The acknowledgement as complete stream bytes. */
export function encodeAck(ack: Ack): Buffer {
  const { traceparent, tracestate } = NO_CORRELATION;
  const payload = encodeMessage(HandoffAckSchema, ack);
  return encodeResponse({ requestId: ack.correlationId, traceparent, tracestate }, { payloadProtocol, payload });
}

/**
 * Judges the answer to an offer. Whether it came in time is the registry's business.
 *
 * @throws BrokerError FRAME_UNEXPECTED with the field in `details.check`, MESSAGE_MALFORMED: it is no answer at all.
 */
export function checkAck(frame: Frame, offer: Pick<Offer, "token" | "correlationId">): AckVerdict {
  checkHandoffFrame(frame, FrameKind.RESPONSE);
  if (frame.requestId !== offer.correlationId)
    throw frameUnexpected("request_id", "frame request_id does not match the offer's correlation_id");
  const ack = decodeMessage(HandoffAckSchema, frame.payload);
  if (ack.correlationId !== offer.correlationId)
    throw frameUnexpected("correlation_id", "HandoffAck correlation_id does not match the offer's");
  if (!equalTokens(ack.token, offer.token))
    throw frameUnexpected("token", "HandoffAck echoes another token than the offered one");
  return ack.accepted ? { ok: true } : { ok: false, rejected: true, detail: ack.errorDetail };
}

/** What the broker tells the client on its Hello connection, as complete stream bytes; the same fields as the acknowledgement. */
export function encodeReadyEvent(ack: Ack): Buffer {
  return encodeEvent(ack.correlationId, { payloadProtocol, payload: encodeMessage(HandoffAckSchema, ack) });
}

/**
 * What a frame on the Hello connection says to a client that waits for `token`: `ready`, the backend has the
 * connection; `refused`, the broker says that it will not; `unexpected`, anything else. Correlation ids are not
 * compared, because the reference does not. Never throws.
 */
export function readReadyEvent(frame: Frame, token: Uint8Array): "ready" | "refused" | "unexpected" {
  if (envelopeFault(frame, { kind: FrameKind.EVENT, payloadProtocol }) !== undefined) return "unexpected";
  const ack = ackOrNothing(frame.payload);
  if (ack === undefined || !equalTokens(ack.token, token)) return "unexpected";
  return ack.accepted ? "ready" : "refused";
}

/** Compares in a time that depends on the lengths only. */
export function equalTokens(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= (a[i] ?? 0) ^ (b[i] ?? 0);
  return difference === 0;
}

function ackOrNothing(payload: Uint8Array): HandoffAck | undefined {
  try {
    return decodeMessage(HandoffAckSchema, payload);
  } catch (error) {
    if (hasCode(error, "MESSAGE_MALFORMED")) return undefined;
    throw error;
  }
}

/** Frozen texts; the kind's depends on what was expected. */
const FAULT_TEXT: Readonly<Record<EnvelopeFault, (kind: FrameKind) => string>> = {
  envelope_version: () => "envelope_version is not v1",
  kind: (kind) => `kind is not ${FrameKind[kind]}`,
  payload_protocol: () => "payload_protocol is not handoff",
  payload_encoding: () => "payload is compressed",
};

function checkHandoffFrame(frame: Frame, kind: FrameKind): void {
  const fault = envelopeFault(frame, { kind, payloadProtocol });
  if (fault !== undefined) throw frameUnexpected(fault, FAULT_TEXT[fault](kind));
}
