import { decodeMessage, encodeMessage } from "../../src/wire/codec.ts";
import type { Init, Schema } from "../../src/wire/schema.ts";

/** As it arrives: whatever is not given is at its default, in messages inside, too. */
export function completeMessage<M>(schema: Schema<M>, given: Init<M> = {}): M {
  return decodeMessage(schema, encodeMessage(schema, given));
}
