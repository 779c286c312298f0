/** What passes between a broker and the process that takes its place (ours; docs/protocol.md, "Succession"). */
import { decodeMessage, encodeMessage } from "./codec.ts";
import { FRAME_HEADER_BYTES, fillFrameHeader } from "./framing.ts";
import { type SuccessionMessage, SuccessionMessageSchema } from "./messages.ts";
import type { Init } from "./schema.ts";

/** Exactly one arm, such as `{ case: "taken", value: {} }`. */
export type SuccessionArm = NonNullable<Init<SuccessionMessage>["message"]>;

/** The value of an arm that was received. */
export type SuccessionValue<C extends NonNullable<SuccessionMessage["message"]["case"]>> = Extract<
  SuccessionMessage["message"],
  { case: C }
>["value"];

/** As complete stream bytes: framing version, length, message. */
export function encodeSuccession(message: SuccessionArm): Buffer {
  return fillFrameHeader(encodeMessage(SuccessionMessageSchema, { message }, FRAME_HEADER_BYTES));
}

/** @throws BrokerError MESSAGE_MALFORMED */
export function decodeSuccession(body: Uint8Array): SuccessionMessage["message"] {
  return decodeMessage(SuccessionMessageSchema, body).message;
}
