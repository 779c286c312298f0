/**
 * The endpoint mux as a pure core: one endpoint carries identity probes, consumer frames and, if the daemon has one, a
 * wire of its own. `poll` is a function of the read buffer alone; it does no I/O and remembers nothing between polls,
 * so one mux serves every connection.
 *
 * After each poll the caller does what the outcome says and, unless it needs more bytes, polls the rest again:
 *
 *   need-more       keep the buffer, read more
 *   legacy          give the whole buffer to the daemon's own decoder; nothing was consumed
 *   probe-answered  write `reply` as it is, drop `consumed` bytes from the front
 *   payload         drop `consumed` bytes, answer with a RESPONSE of the same protocol, request id and trace strings
 *   (thrown)        close the connection; nothing is answered
 */
import { optionalFunction, optionInvalid, requireObject } from "../base/check-option.ts";
import { type BackendIdentity, requireIdentity } from "../model/identity.ts";
import { answerProbeAs } from "./answer-probe.ts";
import { classifyBuffer, type LegacyDetector } from "./classify.ts";

/** A consumer's frame, as it came: kind, encoding and envelope version are not judged by the mux. */
export interface ConsumerFrame {
  readonly envelopeVersion: number;
  /** 0 request, 1 response, 2 event, 3 cancel. */
  readonly kind: number;
  readonly payloadProtocol: number;
  /** A view of the polled buffer. */
  readonly payload: Uint8Array;
  readonly requestId: bigint;
  /** 0 none, 1 zstd, 2 snappy, 3 lz4. */
  readonly payloadEncoding: number;
  readonly deadlineUnixMs: bigint;
  readonly traceparent: string;
  readonly tracestate: string;
}

export type MuxOutcome =
  | { readonly type: "need-more" }
  | { readonly type: "legacy" }
  | { readonly type: "probe-answered"; readonly reply: Buffer; readonly consumed: number }
  | { readonly type: "payload"; readonly frame: ConsumerFrame; readonly consumed: number };

export interface MuxOptions {
  /** Whom probes are answered as; a function is asked at each probe, for identities that are known late. */
  readonly identity: BackendIdentity | (() => BackendIdentity);
  /** Consumer protocols served here; copied, not validated. */
  readonly protocols: Iterable<number>;
  /**
   * Recognises the daemon's own wire. Called before anything else at each poll, with the whole buffer; there is no
   * stickiness, so one connection may interleave wires. It alone resolves a message of the own wire that begins with
   * 0x01. Default: everything that does not begin with 0x01 is legacy.
   */
  readonly legacy?: LegacyDetector;
}

export interface EndpointMux {
  /**
   * Judges the message at the front of `buffer`.
   *
   * @throws BrokerError OPTION_INVALID, FRAME_TOO_LARGE, MESSAGE_MALFORMED; FRAME_UNEXPECTED with `details.check` `malformed-probe`,
   * `first-party-protocol` or `unserved-protocol`
   */
  poll(buffer: Buffer): MuxOutcome;
}

/** @throws BrokerError OPTION_INVALID (`details.check` names the option) */
export function createEndpointMux(options: MuxOptions): EndpointMux {
  requireObject("options", options);
  const { identity } = options;
  if (typeof identity !== "function") requireIdentity("identity", identity);
  optionalFunction("legacy", options.legacy);
  const identityNow = (): BackendIdentity => {
    if (typeof identity !== "function") return identity;
    const known = identity();
    requireIdentity("identity", known);
    return known;
  };
  const rules = { served: numbersOf(options.protocols), detect: options.legacy };
  return {
    poll(buffer) {
      if (!Buffer.isBuffer(buffer)) throw optionInvalid("buffer", buffer, "a Buffer");
      const verdict = classifyBuffer(buffer, rules);
      if (verdict.type !== "probe") return verdict;
      return { type: "probe-answered", reply: answerProbeAs(identityNow(), verdict.frame), consumed: verdict.consumed };
    },
  };
}

/** @throws BrokerError OPTION_INVALID */
function numbersOf(protocols: unknown): ReadonlySet<number> {
  const { [Symbol.iterator]: iterator } = Object(protocols) as { [Symbol.iterator]?: unknown };
  const expected = "an array or another iterable of numbers";
  if (typeof protocols !== "object" || typeof iterator !== "function")
    throw optionInvalid("protocols", protocols, expected);
  const numbers = new Set(protocols as Iterable<unknown>);
  for (const number of numbers) if (typeof number !== "number") throw optionInvalid("protocols", number, expected);
  return numbers as ReadonlySet<number>;
}
