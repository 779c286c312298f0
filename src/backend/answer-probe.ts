/** The answer of a backend to an identity probe. */
import { hasCode } from "../base/errors.ts";
import { type BackendIdentity, identityToMessage } from "../model/identity.ts";
import type { Frame } from "../wire/messages.ts";
import { answerProbe } from "../wire/probe.ts";
import { malformedProbe } from "./classify.ts";

/**
 * The reply to `request` as complete stream bytes.
 *
 * @throws BrokerError FRAME_UNEXPECTED with `details.check` `malformed-probe`; the connection is to be closed unanswered.
 */
export function answerProbeAs(identity: BackendIdentity, request: Frame): Buffer {
  try {
    return answerProbe(request, identityToMessage(identity));
  } catch (error) {
    throw hasCode(error, "FRAME_UNEXPECTED", "MESSAGE_MALFORMED") ? malformedProbe(error) : error;
  }
}
