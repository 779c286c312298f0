/** One consumer request: from its frame to the bytes of its response. */
import type { MaybePromise } from "../base/maybe-promise.ts";
import { checkEnvelope, encodeResponse } from "../wire/envelope.ts";
import { type Frame, FrameKind } from "../wire/messages.ts";
import type { RequestSignal, RequestSignals } from "./request-signals.ts";
import type { BackendHandler, BackendRequest } from "./serve-options.ts";

/**
 * The mux passes every kind and encoding on; what a handler can answer is only an uncompressed REQUEST.
 *
 * @throws BrokerError FRAME_UNEXPECTED with the field in `details.check`
 */
export function checkRequest(frame: Frame): void {
  checkEnvelope(frame, { kind: FrameKind.REQUEST, payloadProtocol: frame.payloadProtocol });
}

/**
 * Calls the handler. What it returns at once is encoded at once; only a promise is waited for.
 *
 * @throws whatever the handler throws; BrokerError FRAME_TOO_LARGE for an answer above the limit
 */
export function answerRequest<S>(
  frame: Frame,
  handle: BackendHandler<S>,
  state: S,
  signals: RequestSignals,
): MaybePromise<Buffer> {
  const waiting = signals.open();
  const request = new HandlerRequest(frame, waiting);
  let answer: unknown;
  try {
    answer = handle(request, state);
  } catch (error) {
    waiting.release();
    throw error;
  }
  if (answer instanceof Uint8Array) {
    waiting.release();
    return encodeAnswer(frame, answer);
  }
  return Promise.resolve(answer)
    .then((bytes) => encodeAnswer(frame, bytes))
    .finally(() => waiting.release());
}

const WAITING = Symbol("waiting");

/**
 * What a handler gets. The getter is each object's own, or handlers that pass a copy on would lose it, and one for all:
 * in a literal it is made anew for each, which takes three times as long.
 */
class HandlerRequest implements BackendRequest {
  readonly payload: Uint8Array;
  readonly protocol: number;
  readonly requestId: bigint;
  readonly traceparent: string;
  readonly tracestate: string;
  declare readonly signal: AbortSignal;
  readonly [WAITING]: RequestSignal;

  constructor(frame: Frame, waiting: RequestSignal) {
    this.payload = frame.payload;
    this.protocol = frame.payloadProtocol;
    this.requestId = frame.requestId;
    this.traceparent = frame.traceparent;
    this.tracestate = frame.tracestate;
    this[WAITING] = waiting;
    Object.defineProperty(this, "signal", SIGNAL);
  }
}

const SIGNAL: PropertyDescriptor & ThisType<HandlerRequest> = {
  enumerable: true,
  get() {
    return this[WAITING].signal();
  },
};

function encodeAnswer(frame: Frame, answer: unknown): Buffer {
  if (!(answer instanceof Uint8Array))
    throw new TypeError(`a request handler returned ${typeof answer}, expected a Uint8Array`);
  return encodeResponse(frame, { payloadProtocol: frame.payloadProtocol, payload: answer });
}
