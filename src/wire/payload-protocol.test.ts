import assert from "node:assert/strict";
import { test } from "node:test";
import { hasCode } from "../base/errors.ts";
import {
  checkConsumerProtocol,
  checkServedProtocols,
  formatProtocol,
  isConsumerProtocol,
  isFirstPartyProtocol,
  PAYLOAD_PROTOCOL,
  REGISTERED_CONSUMERS,
} from "./payload-protocol.ts";

const refused = (error: unknown): boolean => hasCode(error, "PAYLOAD_PROTOCOL_INVALID");

test("the first-party numbers are the frozen four", () => {
  assert.deepEqual(
    Object.values(PAYLOAD_PROTOCOL).sort((a, b) => a - b),
    [0x0000, 0xad01, 0xb232, 0xd0ff],
  );
  for (const protocol of Object.values(PAYLOAD_PROTOCOL)) {
    assert.ok(isFirstPartyProtocol(protocol));
    assert.ok(!isConsumerProtocol(protocol));
  }
});

test("consumers own 0x7000 to 0x7EFF and 0xF000 to 0xFFFF, and nothing beside them", () => {
  for (const protocol of [0x7000, 0x7eff, 0xf000, 0xffff]) checkConsumerProtocol(protocol);
  for (const protocol of [0x6fff, 0x7f00, 0xefff, 0x10000, -1, 0x7000 + 0.5, Number.NaN]) {
    assert.throws(() => checkConsumerProtocol(protocol), refused, String(protocol));
  }
});

test("registered consumers lie in the registered range", () => {
  assert.deepEqual(REGISTERED_CONSUMERS, { zccache: 0x7a63, clud: 0x7c4c, fbuild: 0x7eb1 });
  for (const protocol of Object.values(REGISTERED_CONSUMERS)) assert.ok(isConsumerProtocol(protocol));
});

test("one endpoint serves each of its protocols once", () => {
  checkServedProtocols([0x7000, 0xf000]);
  assert.throws(() => checkServedProtocols([0x7000, 0x7000]), refused);
  assert.throws(() => checkServedProtocols([0x7000, PAYLOAD_PROTOCOL.admin]), refused);
});

test("numbers are shown as four upper-case digits", () => {
  assert.deepEqual([0, 0xd0ff, 0x12345].map(formatProtocol), ["0x0000", "0xD0FF", "0x12345"]);
});
