/** The first frame of a connection, or why it cannot be taken (spec: server §5.1). */
import type { Deadline } from "../../base/clock.ts";
import { hasCode, isBrokerError } from "../../base/errors.ts";
import type { MaybePromise } from "../../base/maybe-promise.ts";
import { readBody, readFrameLength } from "../../exchange/frame-io.ts";
import { type Refusal, refuse } from "../../model/refusal.ts";
import type { Connection } from "../../platform/ports/index.ts";
import { type Correlation, decodeFrame, NO_CORRELATION } from "../../wire/envelope.ts";
import { MAX_FRAME_BODY_BYTES, MAX_HELLO_BODY_BYTES } from "../../wire/limits.ts";
import type { Frame } from "../../wire/messages.ts";
import { PAYLOAD_PROTOCOL } from "../../wire/payload-protocol.ts";
import type { ByteQuota } from "./byte-quota.ts";

export interface ReadOptions {
  /** Bytes of frames above the Hello limit that may be held at one time, over all connections. */
  readonly largeFrames: ByteQuota;
  /** For the whole request, from accept to its last byte. */
  readonly requestDeadline: () => Deadline;
}

export type Request = { readonly frame: Frame } | { readonly refusal: Refusal; readonly correlation: Correlation };

/** Frozen reactions to a first frame that cannot be taken. */
const UNREADABLE = {
  framing: refuse("VERSION_UNSUPPORTED", "unsupported framing version"),
  tooLarge: refuse("PEER_REJECTED", "initial Hello frame exceeds 64 KiB"),
  incomplete: refuse("PEER_REJECTED", "incomplete Hello frame"),
  malformed: refuse("PEER_REJECTED", "malformed broker Frame"),
} as const;

/** Reads the one frame, and not a byte more. Throws or rejects for what gets no reply. */
export function readRequest(connection: Connection, options: ReadOptions): MaybePromise<Request> {
  const deadline = options.requestDeadline();
  try {
    const length = readFrameLength(connection, { maxBodyBytes: MAX_FRAME_BODY_BYTES, deadline });
    const request =
      length instanceof Promise
        ? length.then((known) => readFrame(connection, known, deadline, options))
        : readFrame(connection, length, deadline, options);
    return request instanceof Promise ? request.catch(unreadable) : request;
  } catch (error) {
    return unreadable(error);
  }
}

/** Throws what gets no reply. */
function unreadable(error: unknown): Request {
  if (!isBrokerError(error)) throw error;
  if (hasCode(error, "FRAMING_VERSION_UNSUPPORTED"))
    return { refusal: UNREADABLE.framing, correlation: NO_CORRELATION };
  if (hasCode(error, "FRAME_TOO_LARGE")) return { refusal: UNREADABLE.tooLarge, correlation: NO_CORRELATION };
  if (hasCode(error, "MESSAGE_MALFORMED")) return { refusal: UNREADABLE.malformed, correlation: NO_CORRELATION };
  // A peer that is gone gets no reply; one that only fell silent or closed its writing side does.
  if (hasCode(error, "IO_FAILED")) throw error;
  return { refusal: UNREADABLE.incomplete, correlation: NO_CORRELATION };
}

function readFrame(
  connection: Connection,
  length: number,
  deadline: Deadline,
  { largeFrames }: ReadOptions,
): MaybePromise<Request> {
  if (length > MAX_HELLO_BODY_BYTES) return readLargeFrame(connection, length, deadline, largeFrames);
  const body = readBody(connection, length, deadline);
  return body instanceof Promise ? body.then((bytes) => ({ frame: decodeFrame(bytes) })) : { frame: decodeFrame(body) };
}

/** Only admin requests may be that large. */
async function readLargeFrame(
  connection: Connection,
  length: number,
  deadline: Deadline,
  quota: ByteQuota,
): Promise<Request> {
  if (!quota.take(length)) return { refusal: UNREADABLE.tooLarge, correlation: NO_CORRELATION };
  try {
    const frame = decodeFrame(await readBody(connection, length, deadline));
    if (frame.payloadProtocol === PAYLOAD_PROTOCOL.admin) return { frame };
    return { refusal: UNREADABLE.tooLarge, correlation: frame };
  } finally {
    quota.giveBack(length);
  }
}
