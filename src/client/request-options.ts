/** What a caller says of a request, and its check before anything is counted or sent: of `request` and `firstRequest` alike. */
import {
  optionalBoolean,
  optionalNumber,
  optionalSignal,
  optionalText,
  requireBytes,
  requireObject,
} from "../base/check-option.ts";
import { checkConsumerProtocol } from "../wire/payload-protocol.ts";

export interface RequestOptions {
  /** Gives up waiting; a request that is already on the wire may still be carried out by the backend. */
  readonly signal?: AbortSignal;
  /**
   * Milliseconds until DEADLINE_EXCEEDED; 0: no limit. Default 600 000 (10 minutes), which is checked every 30 s. The time
   * in which a session is connected has a limit of its own.
   */
  readonly timeoutMs?: number;
  /**
   * It does no harm when the backend carries it out twice. Such a request may be sent along with the Hello, and is sent
   * again when a connection that was just handed over ends before anything came back. Default false.
   */
  readonly idempotent?: boolean;
  /** W3C trace context, carried in the frame. Default: none. */
  readonly traceparent?: string;
  readonly tracestate?: string;
}

/** A request to be sent as early as possible: along with the Hello when it is idempotent, else right after its answer. */
export interface FirstRequest extends RequestOptions {
  readonly protocol: number;
  readonly payload: Uint8Array;
}

/** By what name an error speaks of each part; made once, not for each request. */
function namesWith(prefix: string) {
  return {
    payload: `${prefix}payload`,
    signal: `${prefix}signal`,
    timeoutMs: `${prefix}timeoutMs`,
    idempotent: `${prefix}idempotent`,
    traceparent: `${prefix}traceparent`,
    tracestate: `${prefix}tracestate`,
  };
}

const OF_REQUEST = namesWith("");
export const OF_FIRST_REQUEST = namesWith("firstRequest.");
const TIMEOUT_RULE = { least: 0 } as const;

/** @throws BrokerError PAYLOAD_PROTOCOL_INVALID, OPTION_INVALID (`details.check` names the option) */
export function checkRequestOptions(
  protocol: number,
  payload: Uint8Array,
  options: RequestOptions,
  names = OF_REQUEST,
): void {
  checkConsumerProtocol(protocol);
  requireBytes(names.payload, payload);
  requireObject("options", options);
  optionalSignal(names.signal, options.signal);
  optionalNumber(names.timeoutMs, options.timeoutMs, TIMEOUT_RULE, "a number of milliseconds, 0 for no limit");
  optionalBoolean(names.idempotent, options.idempotent);
  optionalText(names.traceparent, options.traceparent);
  optionalText(names.tracestate, options.tracestate);
}
