/** Whole frames over a Connection: version byte, length, body, and not one byte beyond. */
import type { Deadline } from "../base/clock.ts";
import type { MaybePromise } from "../base/maybe-promise.ts";
import type { Connection } from "../platform/ports/index.ts";
import {
  decodeFrameHeader,
  FRAME_HEADER_BYTES,
  FRAMING_VERSION,
  frameTruncated,
  framingVersionUnsupported,
  truncationContext,
} from "../wire/framing.ts";

export interface FrameReadOptions {
  readonly maxBodyBytes: number;
  readonly deadline: Deadline;
}

/**
 * The next frame body.
 *
 * @throws BrokerError FRAMING_VERSION_UNSUPPORTED, FRAME_TOO_LARGE, FRAME_TRUNCATED (`details.check` says where),
 * DEADLINE_EXCEEDED, IO_FAILED
 */
export async function readFrameBody(connection: Connection, options: FrameReadOptions): Promise<Buffer> {
  return readBody(connection, await readFrameLength(connection, options), options.deadline);
}

/**
 * The header of the next frame: its body length. The version byte is judged as soon as it is there, so that a peer that
 * speaks something else is told at once, however little it has sent.
 *
 * @throws as `readFrameBody`
 */
export function readFrameLength(connection: Connection, options: FrameReadOptions): MaybePromise<number> {
  const head = connection.readSome(FRAME_HEADER_BYTES, options.deadline);
  return head instanceof Promise
    ? head.then((bytes) => lengthFrom(connection, bytes, options))
    : lengthFrom(connection, head, options);
}

/** A body whose header has been read. @throws as `readFrameBody` */
export function readBody(connection: Connection, length: number, deadline: Deadline): MaybePromise<Buffer> {
  const body = connection.readExactly(length, deadline);
  return body instanceof Promise ? body.then((bytes) => whole(bytes, length)) : whole(body, length);
}

function lengthFrom(connection: Connection, head: Buffer, options: FrameReadOptions): MaybePromise<number> {
  if (head.length === 0) throw frameTruncated(truncationContext(0));
  if (head[0] !== FRAMING_VERSION) throw framingVersionUnsupported(head[0] as number);
  if (head.length === FRAME_HEADER_BYTES) return decodeFrameHeader(head, options.maxBodyBytes);
  return readRestOfHeader(connection, head, options);
}

async function readRestOfHeader(connection: Connection, head: Buffer, options: FrameReadOptions): Promise<number> {
  const rest = await connection.readExactly(FRAME_HEADER_BYTES - head.length, options.deadline);
  const header = Buffer.concat([head, rest]);
  if (header.length < FRAME_HEADER_BYTES) throw frameTruncated(truncationContext(header.length));
  return decodeFrameHeader(header, options.maxBodyBytes);
}

function whole(body: Buffer, length: number): Buffer {
  if (body.length < length) throw frameTruncated("frame body");
  return body;
}
