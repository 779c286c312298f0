import assert from "node:assert/strict";
import { test } from "node:test";
import { CAPABILITY, formatCapabilities, hasCapability } from "./capabilities.ts";

test("handle passing is bit 0", () => {
  assert.equal(CAPABILITY.handlePassing, 1n);
  assert.ok(hasCapability(0b101n, "handlePassing"));
  assert.ok(!hasCapability(0b100n, "handlePassing"));
});

test("direct handoff is bit 32, whatever the other bits are", () => {
  assert.equal(CAPABILITY.handoffDirect, 2n ** 32n);
  assert.ok(hasCapability(2n ** 32n + 1n, "handoffDirect"));
  assert.ok(!hasCapability(2n ** 64n - 1n - 2n ** 32n, "handoffDirect"));
  assert.equal(formatCapabilities(2n ** 33n + 1n), "0x200000001 [HANDLE_PASSING, HANDOFF_REPLY]");
  assert.equal(formatCapabilities(2n ** 32n + 1n), "0x100000001 [HANDLE_PASSING, HANDOFF_DIRECT]");
});

test("known bits are shown by name, others by number", () => {
  assert.equal(formatCapabilities(0n), "none");
  assert.equal(formatCapabilities(1n), "0x1 [HANDLE_PASSING]");
  assert.equal(formatCapabilities(2n ** 63n + 1n), "0x8000000000000001 [HANDLE_PASSING, unknown:0x8000000000000000]");
});
