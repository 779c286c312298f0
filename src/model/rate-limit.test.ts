import assert from "node:assert/strict";
import test from "node:test";
import { createRateLimiter, HELLOS_PER_SECOND } from "./rate-limit.ts";

test("256 in a second by default, then a wait until the window that the first one began is over", () => {
  const limiter = createRateLimiter(HELLOS_PER_SECOND);
  for (let hello = 0; hello < 256; hello++) assert.equal(limiter.take(7, 10), 0);
  assert.equal(limiter.take(7, 10.4), 1000);
  assert.equal(limiter.take(7, 1009.9), 1);
  assert.equal(limiter.take(7, 1010), 0);
});

test("keys do not count for each other, and a number is not its text", () => {
  const limiter = createRateLimiter(1);
  assert.deepEqual([limiter.take(1, 0), limiter.take(2, 0), limiter.take("1", 0)], [0, 0, 0]);
  assert.ok(limiter.take(1, 0) > 0);
});

test("a limit of zero turns it off", () => {
  const limiter = createRateLimiter(0);
  for (let hello = 0; hello < 1000; hello++) assert.equal(limiter.take(1, 0), 0);
});

test("a flood of keys does not make anybody's window end early", () => {
  const limiter = createRateLimiter(1);
  limiter.take("mine", 0);
  for (let key = 0; key < 5000; key++) limiter.take(key, 500);
  assert.equal(limiter.take("mine", 999), 1);
  assert.equal(limiter.take("mine", 1000), 0);
});
