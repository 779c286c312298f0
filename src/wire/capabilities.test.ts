import assert from "node:assert/strict";
import { test } from "node:test";
import { CAPABILITY, formatCapabilities, hasCapability } from "./capabilities.ts";

test("handle passing is bit 0", () => {
  assert.equal(CAPABILITY.handlePassing, 1n);
  assert.ok(hasCapability(0b101n, "handlePassing"));
  assert.ok(!hasCapability(0b100n, "handlePassing"));
});

test("known bits are shown by name, others by number", () => {
  assert.equal(formatCapabilities(0n), "none");
  assert.equal(formatCapabilities(1n), "0x1 [HANDLE_PASSING]");
  assert.equal(formatCapabilities(2n ** 63n + 1n), "0x8000000000000001 [HANDLE_PASSING, unknown:0x8000000000000000]");
});
