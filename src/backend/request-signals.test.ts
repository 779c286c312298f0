import assert from "node:assert/strict";
import { test } from "node:test";
import { hasCode } from "../base/errors.ts";
import { createRequestSignals } from "./request-signals.ts";

test("signals of requests in progress fire, with the reason, and so do those looked at later", () => {
  const signals = createRequestSignals();
  const early = signals.open().signal();
  const late = signals.open();
  signals.abandon("gone");
  signals.abandon("another reason");
  for (const signal of [early, late.signal()]) {
    assert.ok(signal.aborted);
    assert.ok(hasCode(signal.reason, "CONNECTION_CLOSED"));
    assert.match(String(signal.reason), /gone$/);
  }
});

test("the signal of a finished request never fires", () => {
  const signals = createRequestSignals();
  const request = signals.open();
  const signal = request.signal();
  request.release();
  signals.abandon("gone");
  assert.equal(signal.aborted, false);
});

test("only after the signal has fired does it explain what a handler throws", () => {
  const signals = createRequestSignals();
  const abortError = new DOMException("stopped", "AbortError");
  const signal = signals.open().signal();
  assert.equal(signals.explains(abortError), false);
  signals.abandon("gone");
  assert.ok(signals.explains(abortError));
  assert.ok(signals.explains(signal.reason));
  assert.equal(signals.explains(new Error("a bug")), false);
});
