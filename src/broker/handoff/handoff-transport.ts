/** How a connection gets from the broker to one backend: over its control channel, or by dialling its handoff endpoint. */
import type { Deadline } from "../../base/clock.ts";
import { hasCode, reasonOf } from "../../base/errors.ts";
import type { MaybePromise } from "../../base/maybe-promise.ts";
import { type StageResult, unixTransportError } from "../../model/handoff-stages.ts";
import type { Connection, Transferable } from "../../platform/ports/index.ts";
import { encodeOffer, type Offer } from "../../wire/handoff.ts";

export interface HandoffWay {
  /** The backend acknowledges before it reads, so that a client may send its first request along with the Hello. */
  readonly direct: boolean;
  open(offer: Offer, urgency: AckUrgency): HandoffExchange;
}

/** `at-once`: the client waits for it. `at-leisure`: a millisecond more or less makes no difference to anybody. */
export type AckUrgency = "at-once" | "at-leisure";

/** One offer and its answer. */
export interface HandoffExchange {
  /** Token, offer and a duplicate of the client's connection in one message. */
  send(client: Transferable, deadline: Deadline): MaybePromise<StageResult>;
  awaitAck(deadline: Deadline): MaybePromise<StageResult>;
  close(): void;
}

/** Token and offer as one message, the same by both ways. */
export function offerBytes(offer: Offer): Buffer {
  return Buffer.concat([offer.token, encodeOffer(offer)]);
}

export function sendOver(
  connection: Connection,
  bytes: Uint8Array,
  client: Transferable,
  deadline: Deadline,
): MaybePromise<StageResult> {
  try {
    const sent = connection.sendWithDescriptor(bytes, client, deadline);
    return sent === undefined ? SENT : sent.then(() => SENT, sendFailure);
  } catch (error) {
    return sendFailure(error);
  }
}

const SENT: StageResult = { ok: true };

function sendFailure(error: unknown): StageResult {
  const detail = reasonOf(error);
  if (hasCode(error, "DEADLINE_EXCEEDED")) return { ok: false, error: "would-block", detail };
  if (!hasCode(error, "IO_FAILED")) return { ok: false, error: "send-failed", detail };
  return {
    ok: false,
    error:
      error.details.check === "sent-in-part" ? "sent-in-part" : unixTransportError("send", error.details.errno ?? ""),
    detail,
  };
}
