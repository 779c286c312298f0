/** One consumer request: from its frame to the bytes of its response. */
import type { MaybePromise } from "../base/maybe-promise.ts";
import { checkEnvelope, encodeResponse } from "../wire/envelope.ts";
import { type Frame, FrameKind } from "../wire/messages.ts";
import type { RequestSignals } from "./request-signals.ts";
import type { BackendHandler } from "./serve-options.ts";

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
  const { payload, payloadProtocol: protocol, requestId, traceparent, tracestate } = frame;
  const waiting = signals.open();
  const request = {
    payload,
    protocol,
    requestId,
    traceparent,
    tracestate,
    get signal() {
      return waiting.signal();
    },
  };
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

function encodeAnswer(frame: Frame, answer: unknown): Buffer {
  if (!(answer instanceof Uint8Array))
    throw new TypeError(`a request handler returned ${typeof answer}, expected a Uint8Array`);
  return encodeResponse(frame, { payloadProtocol: frame.payloadProtocol, payload: answer });
}
