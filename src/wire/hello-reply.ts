/** The reply that every served client gets; refusals are rare and left to the codec. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { encodeMessage } from "./codec.ts";
import { encodeNested } from "./flat-codec.ts";
import { HelloReplySchema, NegotiatedSchema } from "./messages.ts";

/** An encoded HelloReply. */
export function encodeNegotiatedReply(negotiated: MessageInitShape<typeof NegotiatedSchema>): Buffer {
  return encodeNested(HelloReplySchema.field.negotiated.number, encodeMessage(NegotiatedSchema, negotiated));
}
