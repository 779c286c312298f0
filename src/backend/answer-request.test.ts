import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeFrame, encodeRequest } from "../wire/envelope.ts";
import { FRAME_HEADER_BYTES } from "../wire/framing.ts";
import { answerRequest } from "./answer-request.ts";
import { createRequestSignals, type RequestSignals } from "./request-signals.ts";
import type { BackendRequest } from "./serve-options.ts";

const FRAME = decodeFrame(
  encodeRequest({ payloadProtocol: 0x9001, payload: Buffer.from("wrapped"), requestId: 7n }).subarray(
    FRAME_HEADER_BYTES,
  ),
);

// A handler around another one passes on a copy with another payload.
test("a copy of what a handler gets is whole, its signal included", () => {
  const signals = createRequestSignals();
  const seen: BackendRequest[] = [];
  const inner = (request: BackendRequest): Uint8Array => {
    seen.push(request);
    return request.payload;
  };
  void answerRequest(FRAME, (request) => inner({ ...request, payload: Buffer.from("bare") }), undefined, signals);
  const [request = assert.fail("not called")] = seen;
  assert.equal(Buffer.from(request.payload).toString(), "bare");
  const { protocol, requestId, traceparent, tracestate } = request;
  assert.deepEqual([protocol, requestId, traceparent, tracestate], [0x9001, 7n, "", ""]);
  assert.ok(request.signal instanceof AbortSignal);
  assert.deepEqual(Object.keys(request).sort(), [
    "payload",
    "protocol",
    "requestId",
    "signal",
    "traceparent",
    "tracestate",
  ]);
});

test("a signal that nobody looks at is not made", () => {
  let opened = 0;
  const waiting = { signal: () => assert.fail("looked at"), release: () => opened-- };
  const signals: RequestSignals = {
    open() {
      opened++;
      return waiting;
    },
    abandon() {},
    explains: () => false,
  };
  const answer = answerRequest(FRAME, ({ payload }) => payload, undefined, signals);
  assert.ok(Buffer.isBuffer(answer));
  assert.equal(opened, 0);
});
