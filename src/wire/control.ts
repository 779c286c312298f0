/**
 * The control channel between a broker and a backend it launched (ours; docs/protocol.md, "Control channel").
 *
 * Backend to broker: frames. Broker to backend: each message is 16 sideband bytes and a frame; for a handoff offer they
 * are the token and carry the client's descriptor, for anything else they are zero and carry nothing. That is the very
 * form of a v1 handoff, so one reader serves both.
 */
import { decodeMessage, encodeMessage } from "./codec.ts";
import { checkEnvelope, encodeEvent } from "./envelope.ts";
import { type ControlMessage, ControlMessageSchema, type Frame, FrameKind } from "./messages.ts";
import { PAYLOAD_PROTOCOL } from "./payload-protocol.ts";

/** Sideband of a message without a descriptor. */
export const NO_SIDEBAND: Uint8Array = new Uint8Array(16);

export function encodeAnnounce(capabilities: bigint): Buffer {
  const message = { message: { case: "announce" as const, value: { capabilities } } };
  return encodeEvent(0n, {
    payloadProtocol: PAYLOAD_PROTOCOL.control,
    payload: encodeMessage(ControlMessageSchema, message),
  });
}

/** @throws BrokerError FRAME_UNEXPECTED, MESSAGE_MALFORMED */
export function decodeControlMessage(frame: Frame): ControlMessage {
  checkEnvelope(frame, { kind: FrameKind.EVENT, payloadProtocol: PAYLOAD_PROTOCOL.control });
  return decodeMessage(ControlMessageSchema, frame.payload);
}
