/** Building and checking the Frame envelope. One request constructor, one response constructor, one order of checks. */
import { BrokerError } from "../base/errors.ts";
import { decodeMessage, encodeMessage } from "./codec.ts";
import { FRAME_HEADER_BYTES, fillFrameHeader } from "./framing.ts";
import { type Frame, FrameKind, FrameSchema, PayloadEncoding } from "./messages.ts";
import { formatProtocol } from "./payload-protocol.ts";

/** Protocol version in every Frame. Bump rule: only together with a new protobuf package. */
export const ENVELOPE_VERSION = 1;

/** What is copied from a request into everything that answers it. */
export interface Correlation {
  readonly requestId: bigint;
  readonly traceparent: string;
  readonly tracestate: string;
}

/** Correlation of a reply to something that could not be decoded. */
export const NO_CORRELATION: Correlation = { requestId: 0n, traceparent: "", tracestate: "" };

export interface RequestOptions {
  readonly payloadProtocol: number;
  readonly payload: Uint8Array;
  readonly requestId: bigint;
  readonly traceparent?: string;
  readonly tracestate?: string;
}

/** A REQUEST frame as complete stream bytes. */
export function encodeRequest(options: RequestOptions): Buffer {
  return encodeFrame(FrameKind.REQUEST, options, {
    requestId: options.requestId,
    traceparent: options.traceparent ?? "",
    tracestate: options.tracestate ?? "",
  });
}

/** A RESPONSE frame as complete stream bytes, with the request's id and trace strings. */
export function encodeResponse(
  correlation: Correlation,
  options: { payloadProtocol: number; payload: Uint8Array },
): Buffer {
  return encodeFrame(FrameKind.RESPONSE, options, correlation);
}

/** An EVENT frame as complete stream bytes. */
export function encodeEvent(requestId: bigint, options: { payloadProtocol: number; payload: Uint8Array }): Buffer {
  return encodeFrame(FrameKind.EVENT, options, { requestId, traceparent: "", tracestate: "" });
}

function encodeFrame(
  kind: FrameKind,
  { payloadProtocol, payload }: { payloadProtocol: number; payload: Uint8Array },
  { requestId, traceparent, tracestate }: Correlation,
): Buffer {
  const frame = {
    envelopeVersion: ENVELOPE_VERSION,
    kind,
    payloadProtocol,
    payload,
    requestId,
    traceparent,
    tracestate,
  };
  return fillFrameHeader(encodeMessage(FrameSchema, frame, FRAME_HEADER_BYTES));
}

/** @throws BrokerError MESSAGE_MALFORMED */
export function decodeFrame(body: Uint8Array): Frame {
  return decodeMessage(FrameSchema, body);
}

export type EnvelopeFault = "envelope_version" | "kind" | "payload_protocol" | "payload_encoding";

export interface ExpectedEnvelope {
  readonly kind: FrameKind;
  readonly payloadProtocol: number;
}

/** The first envelope field that is not as expected, in the frozen order; undefined when all are. */
export function envelopeFault(frame: Frame, expected: ExpectedEnvelope): EnvelopeFault | undefined {
  return headFault(frame, expected) ?? encodingFault(frame);
}

/** @throws BrokerError FRAME_UNEXPECTED with the field in `details.check`. */
export function checkEnvelope(frame: Frame, expected: ExpectedEnvelope): void {
  const fault = envelopeFault(frame, expected);
  if (fault !== undefined) throw frameUnexpected(fault, describeFault(fault, frame, expected));
}

/**
 * Checks a RESPONSE against the request it has to answer. The id is judged before the encoding, as the reference does.
 *
 * @throws BrokerError FRAME_UNEXPECTED with the field in `details.check`.
 */
export function checkReply(frame: Frame, request: { payloadProtocol: number; requestId: bigint }): void {
  const expected = { kind: FrameKind.RESPONSE, payloadProtocol: request.payloadProtocol };
  const head = headFault(frame, expected);
  if (head !== undefined) throw frameUnexpected(head, describeFault(head, frame, expected));
  if (frame.requestId !== request.requestId)
    throw frameUnexpected("request_id", `request_id ${frame.requestId}, expected ${request.requestId}`);
  const encoding = encodingFault(frame);
  if (encoding !== undefined) throw frameUnexpected(encoding, describeFault(encoding, frame, expected));
}

function headFault(frame: Frame, expected: ExpectedEnvelope): EnvelopeFault | undefined {
  if (frame.envelopeVersion !== ENVELOPE_VERSION) return "envelope_version";
  if (frame.kind !== expected.kind) return "kind";
  if (frame.payloadProtocol !== expected.payloadProtocol) return "payload_protocol";
  return undefined;
}

function encodingFault(frame: Frame): EnvelopeFault | undefined {
  return frame.payloadEncoding === PayloadEncoding.NONE ? undefined : "payload_encoding";
}

export function frameUnexpected(check: string, what: string): BrokerError {
  return new BrokerError("FRAME_UNEXPECTED", `unexpected frame: ${what}`, { details: { check } });
}

function describeFault(fault: EnvelopeFault, frame: Frame, expected: ExpectedEnvelope): string {
  switch (fault) {
    case "envelope_version":
      return `envelope_version ${frame.envelopeVersion}, expected ${ENVELOPE_VERSION}`;
    case "kind":
      return `kind ${frame.kind}, expected ${expected.kind}`;
    case "payload_protocol":
      return `payload_protocol ${formatProtocol(frame.payloadProtocol)}, expected ${formatProtocol(expected.payloadProtocol)}`;
    case "payload_encoding":
      return `payload_encoding ${frame.payloadEncoding}, expected ${PayloadEncoding.NONE}`;
  }
}
