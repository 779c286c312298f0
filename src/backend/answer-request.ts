/** One consumer request: from its frame to the bytes of its response. */
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

/** @throws whatever the handler throws; BrokerError FRAME_TOO_LARGE for an answer above the limit */
export async function answerRequest<S>(
  frame: Frame,
  handle: BackendHandler<S>,
  state: S,
  signals: RequestSignals,
): Promise<Buffer> {
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
  try {
    const answer: unknown = await handle(request, state);
    if (!(answer instanceof Uint8Array))
      throw new TypeError(`a request handler returned ${typeof answer}, expected a Uint8Array`);
    return encodeResponse(frame, { payloadProtocol: protocol, payload: answer });
  } finally {
    waiting.release();
  }
}
