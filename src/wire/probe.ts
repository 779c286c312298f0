/**
 * Identity probe (payload protocol 0xB232): the prober sends 32 random bytes, the backend answers with the same bytes
 * followed directly by an encoded DaemonProcess. The request id is the first eight nonce bytes, read little-endian.
 */
import { BrokerError } from "../base/errors.ts";
import { decodeMessage, encodeMessage } from "./codec.ts";
import { checkEnvelope, checkReply, encodeRequest, encodeResponse, frameUnexpected } from "./envelope.ts";
import { PROBE_NONCE_BYTES } from "./limits.ts";
import { type DaemonProcess, DaemonProcessSchema, type Frame, FrameKind } from "./messages.ts";
import { PAYLOAD_PROTOCOL } from "./payload-protocol.ts";
import type { Init } from "./schema.ts";

const PROBE = { payloadProtocol: PAYLOAD_PROTOCOL.probe } as const;

/** `nonce`: 32 bytes from the system's random source, used once. */
export function encodeProbeRequest(nonce: Buffer): Buffer {
  if (nonce.length !== PROBE_NONCE_BYTES)
    throw new Error(`probe nonce has ${nonce.length} bytes, expected ${PROBE_NONCE_BYTES}`);
  return encodeRequest({ ...PROBE, payload: nonce, requestId: requestIdOf(nonce) });
}

/**
 * The reply to a probe request as complete stream bytes.
 *
 * @throws BrokerError FRAME_UNEXPECTED or MESSAGE_MALFORMED when `request` is no valid probe; the connection is to be closed.
 */
export function answerProbe(request: Frame, identity: Init<DaemonProcess>): Buffer {
  checkEnvelope(request, { kind: FrameKind.REQUEST, ...PROBE });
  if (request.payload.length !== PROBE_NONCE_BYTES) {
    throw new BrokerError(
      "MESSAGE_MALFORMED",
      `probe payload has ${request.payload.length} bytes, expected ${PROBE_NONCE_BYTES}`,
    );
  }
  const payload = Buffer.concat([request.payload, encodeMessage(DaemonProcessSchema, identity)]);
  return encodeResponse(request, { ...PROBE, payload });
}

/**
 * Checks a probe reply against the nonce that was sent.
 *
 * @throws BrokerError FRAME_UNEXPECTED or MESSAGE_MALFORMED, in the order of the spec (identity §3, steps 10-13).
 */
export function decodeProbeResponse(frame: Frame, nonce: Buffer): DaemonProcess {
  checkReply(frame, { ...PROBE, requestId: requestIdOf(nonce) });
  if (frame.payload.length < PROBE_NONCE_BYTES) {
    throw new BrokerError(
      "MESSAGE_MALFORMED",
      `probe reply has ${frame.payload.length} bytes, expected at least ${PROBE_NONCE_BYTES}`,
    );
  }
  if (!nonce.equals(frame.payload.subarray(0, PROBE_NONCE_BYTES)))
    throw frameUnexpected("nonce", "the reply echoes another nonce");
  return decodeMessage(DaemonProcessSchema, frame.payload.subarray(PROBE_NONCE_BYTES));
}

function requestIdOf(nonce: Buffer): bigint {
  return nonce.readBigUInt64LE(0);
}
