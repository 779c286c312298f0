/**
 * What a message on a backend's endpoint is: the decision table of the spec (backend-sdk §1), without answers. Both
 * forms of the mux use it: the pure `poll` over a whole buffer and the ready-made server, which decodes a stream.
 */
import { BrokerError } from "../base/errors.ts";
import { decodeFrame, frameUnexpected } from "../wire/envelope.ts";
import { decodeFrameHeader, FRAME_HEADER_BYTES, FRAMING_VERSION } from "../wire/framing.ts";
import { MAX_FRAME_BODY_BYTES } from "../wire/limits.ts";
import type { Frame } from "../wire/messages.ts";
import { formatProtocol, isFirstPartyProtocol, PAYLOAD_PROTOCOL } from "../wire/payload-protocol.ts";

/**
 * Judges the bytes at a message boundary, from all that have come so far: `legacy` for a wire of the daemon's own,
 * `need-more` when they do not suffice to tell.
 */
export type LegacyDetector = (bytes: Buffer) => "legacy" | "not-legacy" | "need-more";

export type FrameVerdict =
  | { readonly type: "probe"; readonly frame: Frame }
  | { readonly type: "payload"; readonly frame: Frame };

export type BufferVerdict =
  | { readonly type: "need-more" }
  | { readonly type: "legacy" }
  | (FrameVerdict & { readonly consumed: number });

export interface MuxRules {
  /** Consumer protocols this endpoint serves. */
  readonly served: { has(protocol: number): boolean };
  /** Default: whatever does not begin with the framing byte is legacy. */
  readonly detect?: LegacyDetector | undefined;
}

/**
 * The message at the front of `buffer`.
 *
 * @throws BrokerError FRAME_TOO_LARGE, and what `classifyFrame` throws
 */
export function classifyBuffer(buffer: Buffer, rules: MuxRules): BufferVerdict {
  if (buffer.length === 0) return { type: "need-more" };
  const wire = rules.detect?.(buffer) ?? "not-legacy";
  if (wire !== "not-legacy") return { type: wire };
  // Not ours and not claimed: the daemon's own decoder says what is wrong with it.
  if (buffer[0] !== FRAMING_VERSION) return { type: "legacy" };
  if (buffer.length < FRAME_HEADER_BYTES) return { type: "need-more" };
  const consumed = FRAME_HEADER_BYTES + decodeFrameHeader(buffer, MAX_FRAME_BODY_BYTES);
  if (buffer.length < consumed) return { type: "need-more" };
  return { ...classifyFrame(buffer.subarray(FRAME_HEADER_BYTES, consumed), rules), consumed };
}

/**
 * A whole frame body. Probes are recognised, not yet validated; consumer frames are not checked beyond their protocol.
 *
 * @throws BrokerError MESSAGE_MALFORMED; FRAME_UNEXPECTED with `details.check` `first-party-protocol` or `unserved-protocol`
 */
export function classifyFrame(body: Buffer, rules: Pick<MuxRules, "served">): FrameVerdict {
  const frame = decodeFrame(body);
  const protocol = frame.payloadProtocol;
  if (protocol === PAYLOAD_PROTOCOL.probe) return { type: "probe", frame };
  if (isFirstPartyProtocol(protocol)) {
    throw frameUnexpected(
      "first-party-protocol",
      `payload protocol ${formatProtocol(protocol)} is for brokers, not for backends`,
    );
  }
  if (!rules.served.has(protocol))
    throw frameUnexpected("unserved-protocol", `payload protocol ${formatProtocol(protocol)} is not served here`);
  return { type: "payload", frame };
}

/** The refusal of a probe request that breaks the rules; `cause` says which. */
export function malformedProbe(cause: BrokerError): BrokerError {
  return new BrokerError("FRAME_UNEXPECTED", `malformed probe: ${cause.reason}`, {
    details: { check: "malformed-probe" },
    cause,
  });
}
