/** Whole frames over a Connection: version byte, length, body, and not one byte beyond. */
import type { Deadline } from "../base/clock.ts";
import type { Connection } from "../platform/ports.ts";
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
  const length = await readFrameLength(connection, options);
  if (length === 0) return Buffer.alloc(0);
  const body = await connection.readExactly(length, options.deadline);
  if (body.length < length) throw frameTruncated("frame body");
  return body;
}

/**
 * The header of the next frame: its body length. The version byte is read and judged by itself, so that a peer that
 * speaks something else is told at once, however little it has sent.
 *
 * @throws as `readFrameBody`
 */
export async function readFrameLength(connection: Connection, options: FrameReadOptions): Promise<number> {
  const version = await connection.readExactly(1, options.deadline);
  if (version.length === 0) throw frameTruncated(truncationContext(0));
  if (version[0] !== FRAMING_VERSION) throw framingVersionUnsupported(version[0] as number);
  const length = await connection.readExactly(FRAME_HEADER_BYTES - 1, options.deadline);
  if (length.length < FRAME_HEADER_BYTES - 1) throw frameTruncated(truncationContext(1 + length.length));
  return decodeFrameHeader(Buffer.concat([version, length]), options.maxBodyBytes);
}
