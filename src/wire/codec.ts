/**
 * Messages to bytes and back. Encoding follows the reference byte for byte (ascending field numbers, defaults
 * omitted); decoding is as strict as the reference: wire types, bounds, UTF-8 and nesting must hold, unknown fields are
 * dropped, unknown enum numbers kept.
 */
import { BrokerError } from "../base/errors.ts";
import { decode } from "./decode.ts";
import { encode } from "./encode.ts";
import type { AnyMessage, Init, Schema } from "./schema.ts";

/**
 * Byte fields of the result are views of `bytes`, which must not change while they are in use.
 *
 * @throws BrokerError MESSAGE_MALFORMED naming the message.
 */
export function decodeMessage<M>(schema: Schema<M>, bytes: Uint8Array): M {
  try {
    return decode(schema, bytes) as M;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new BrokerError("MESSAGE_MALFORMED", `malformed ${schema.name} (${bytes.length} bytes): ${why}`, {
      cause: error,
    });
  }
}

/** `headroom`: bytes left free, and undefined, in front of the message. */
export function encodeMessage<M>(schema: Schema<M>, message: Init<M>, headroom = 0): Buffer {
  return encode(schema, message as Readonly<AnyMessage>, headroom);
}
