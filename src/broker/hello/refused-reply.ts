/** The reply to a Hello that gets nothing, as a payload. */
import { PROTOCOL_VERSION } from "../../model/negotiate.ts";
import { type Refusal, wireNumber } from "../../model/refusal.ts";
import { encodeMessage } from "../../wire/codec.ts";
import { HelloReplySchema } from "../../wire/messages.ts";

/** Of every refusal, also those that come before a Hello could be read. */
export function encodeRefused(refusal: Refusal): Uint8Array {
  return encodeMessage(HelloReplySchema, {
    result: {
      case: "refused",
      value: {
        reason: refusal.reason,
        daemonMinProtocol: PROTOCOL_VERSION,
        daemonMaxProtocol: PROTOCOL_VERSION,
        code: wireNumber(refusal.code),
        details: { ...refusal.details },
        retryAfterMs: BigInt(refusal.retryAfterMs),
      },
    },
  });
}
