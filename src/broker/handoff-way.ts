/** How a connection gets from the broker to one backend: over its control channel, or by dialling its handoff endpoint. */
import type { Deadline } from "../base/clock.ts";
import { hasCode, reasonOf } from "../base/errors.ts";
import type { MaybePromise } from "../base/maybe-promise.ts";
import { readFrameBody } from "../exchange/frame-io.ts";
import { type StageResult, unixTransportError } from "../model/handoff-stages.ts";
import type { Connection, Platform } from "../platform/ports.ts";
import { decodeFrame } from "../wire/envelope.ts";
import { checkAck, encodeOffer, type Offer } from "../wire/handoff.ts";
import { MAX_HELLO_BODY_BYTES } from "../wire/limits.ts";

export interface HandoffWay {
  /** The backend acknowledges before it reads, so that a client may send its first request along with the Hello. */
  readonly direct: boolean;
  open(offer: Offer, urgency: AckUrgency): HandoffExchange;
}

/** `at-once`: the client waits for it. `at-leisure`: a millisecond more or less makes no difference to anybody. */
export type AckUrgency = "at-once" | "at-leisure";

/** One offer and its answer. */
export interface HandoffExchange {
  /** Token, offer and a duplicate of `descriptor` in one message. Borrows the descriptor. */
  send(descriptor: number, deadline: Deadline): MaybePromise<StageResult>;
  awaitAck(deadline: Deadline): MaybePromise<StageResult>;
  close(): void;
}

/** The reference's way: one connection for each handoff (spec: handoff §8). */
export function createDialledWay(
  platform: Pick<Platform, "clock" | "transport" | "processes">,
  endpoint: string,
): HandoffWay {
  return { direct: false, open: (offer) => dialledExchange(platform, endpoint, offer) };
}

function dialledExchange(
  platform: Pick<Platform, "clock" | "transport" | "processes">,
  endpoint: string,
  offer: Offer,
): HandoffExchange {
  let connection: Connection | undefined;
  const bytes = offerBytes(offer);
  return {
    async send(descriptor, deadline) {
      try {
        connection = await platform.transport.connect(endpoint, deadline);
      } catch (error) {
        const errno = hasCode(error, "IO_FAILED") ? (error.details.errno ?? "") : "";
        return {
          ok: false,
          error: unixTransportError("connect", errno),
          detail: `failed to dial backend handoff endpoint ${endpoint}: ${reasonOf(error)}`,
        };
      }
      // Whoever gets the connection gets the client: only our own user's process may.
      if (connection.peer.uid !== platform.processes.selfUid)
        return { ok: false, error: "permission-denied", detail: `${endpoint} is served by uid ${connection.peer.uid}` };
      return sendOver(connection, bytes, descriptor, deadline);
    },
    async awaitAck(deadline) {
      if (connection === undefined) return { ok: false, detail: "no offer was sent" };
      try {
        const frame = decodeFrame(await readFrameBody(connection, { maxBodyBytes: MAX_HELLO_BODY_BYTES, deadline }));
        return checkAck(frame, offer);
      } catch (error) {
        return { ok: false, detail: reasonOf(error) };
      }
    },
    close: () => connection?.close(),
  };
}

/** Token and offer as one message, the same by both ways. */
export function offerBytes(offer: Offer): Buffer {
  return Buffer.concat([offer.token, encodeOffer(offer)]);
}

export function sendOver(
  connection: Connection,
  bytes: Uint8Array,
  descriptor: number,
  deadline: Deadline,
): MaybePromise<StageResult> {
  try {
    const sent = connection.sendWithDescriptor(bytes, descriptor, deadline);
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
