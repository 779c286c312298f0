/** Checks of recorded frames: a client's or backend's encoder and decoder against bytes that were agreed on. */
import { encodeMessage } from "../wire/codec.ts";
import { decodeFrame, ENVELOPE_VERSION } from "../wire/envelope.ts";
import { createFrameDecoder } from "../wire/frame-decoder.ts";
import { encodeFrameBytes } from "../wire/framing.ts";
import { type Frame, FrameSchema } from "../wire/messages.ts";
import { ConformanceError } from "./conformance-error.ts";

/** Fields of a frame; those left out have the protocol's defaults (an envelope version of 1, zeros, empty texts). */
export interface FrameFields {
  readonly envelopeVersion?: number;
  /** 0 request, 1 response, 2 event, 3 cancel. */
  readonly kind?: number;
  readonly payloadProtocol?: number;
  readonly payload?: Uint8Array;
  readonly requestId?: bigint;
  readonly payloadEncoding?: number;
  readonly deadlineUnixMs?: bigint;
  readonly traceparent?: string;
  readonly tracestate?: string;
}

/** What is compared after decoding; trace strings, encoding and deadline are not. */
export interface ExpectedFrame {
  readonly payloadProtocol: number;
  readonly kind: number;
  readonly requestId: bigint;
  readonly payload: Uint8Array;
}

/**
 * Passes when header and encoded frame equal the recorded bytes exactly.
 *
 * @throws ConformanceError `golden-mismatch` with both sides in hex
 */
export function checkFramedFrameMatchesGolden(fields: FrameFields, golden: Uint8Array): void {
  const actual = encodeFrameBytes(encodeMessage(FrameSchema, { envelopeVersion: ENVELOPE_VERSION, ...fields }));
  if (Buffer.compare(actual, golden) === 0) return;
  throw new ConformanceError("golden-mismatch", `encoded ${show(actual)}, expected ${show(golden)}`);
}

/**
 * Passes when `bytes` are exactly one whole frame, nothing behind it, that holds what is expected.
 *
 * @throws ConformanceError `golden-mismatch` for the bytes, `identity-mismatch` for the fields
 */
export function checkFramedBytesDecodeTo(bytes: Uint8Array, expected: ExpectedFrame): void {
  const frame = decodeOnly(bytes);
  for (const field of ["payloadProtocol", "kind", "requestId"] as const) {
    if (frame[field] !== expected[field])
      throw new ConformanceError("identity-mismatch", `${field} is ${frame[field]}, expected ${expected[field]}`);
  }
  if (Buffer.compare(frame.payload, expected.payload) === 0) return;
  throw new ConformanceError(
    "identity-mismatch",
    `payload is ${show(frame.payload)}, expected ${show(expected.payload)}`,
  );
}

function decodeOnly(bytes: Uint8Array): Frame {
  const decoder = createFrameDecoder();
  decoder.push(bytes);
  let body: Buffer | undefined;
  try {
    body = decoder.next();
    if (body !== undefined && decoder.bufferedBytes === 0) return decodeFrame(body);
  } catch (error) {
    throw new ConformanceError("golden-mismatch", `${show(bytes)} is no frame`, { cause: error });
  }
  const fault =
    body === undefined ? "is too short for its frame" : `has ${decoder.bufferedBytes} bytes behind its frame`;
  throw new ConformanceError("golden-mismatch", `${show(bytes)} ${fault}`);
}

/** Length and upper-case hex, a blank between bytes. */
function show(bytes: Uint8Array): string {
  const hex = Array.from(bytes, (byte) => byte.toString(16).toUpperCase().padStart(2, "0")).join(" ");
  return `${bytes.length} bytes [${hex}]`;
}
