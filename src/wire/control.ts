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
import type { Init } from "./schema.ts";

/** Sideband of a message without a descriptor. */
export const NO_SIDEBAND: Uint8Array = new Uint8Array(16);

/** Bits of `Announce.features`: the control messages that a backend sends and answers. Unknown bits are ignored. */
export const CONTROL_FEATURE = {
  leases: 1n << 0n,
  quiesce: 1n << 1n,
  releaseHandles: 1n << 2n,
} as const;

export type ControlFeature = keyof typeof CONTROL_FEATURE;

export function hasFeature(bits: bigint, feature: ControlFeature): boolean {
  return (bits & CONTROL_FEATURE[feature]) !== 0n;
}

/** Exactly one arm, such as `{ case: "leases", value: { requests: 1 } }`. */
export type ControlArm = NonNullable<Init<ControlMessage>["message"]>;

/** A message of a backend, as complete stream bytes. */
export function encodeControl(message: ControlArm): Buffer {
  return encodeEvent(0n, {
    payloadProtocol: PAYLOAD_PROTOCOL.control,
    payload: encodeMessage(ControlMessageSchema, { message }),
  });
}

/** A message of a broker: sideband without a descriptor, and the frame. */
export function encodeControlToBackend(message: ControlArm): Buffer {
  return Buffer.concat([NO_SIDEBAND, encodeControl(message)]);
}

/** `features`: bits of `CONTROL_FEATURE`. Default: none. */
export function encodeAnnounce(capabilities: bigint, features = 0n): Buffer {
  return encodeControl({ case: "announce", value: { capabilities, features } });
}

/** @throws BrokerError FRAME_UNEXPECTED, MESSAGE_MALFORMED */
export function decodeControlMessage(frame: Frame): ControlMessage {
  checkEnvelope(frame, { kind: FrameKind.EVENT, payloadProtocol: PAYLOAD_PROTOCOL.control });
  return decodeMessage(ControlMessageSchema, frame.payload);
}

/** May this frame be a control message? What it says is another question. */
export function isControlFrame(frame: Frame): boolean {
  return frame.kind === FrameKind.EVENT && frame.payloadProtocol === PAYLOAD_PROTOCOL.control;
}
