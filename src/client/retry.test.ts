import assert from "node:assert/strict";
import { test } from "node:test";
import { BrokerError, type BrokerErrorCode, ERROR_TABLE } from "../base/errors.ts";
import { backoffMs, createRetryPolicy } from "./retry.ts";

const error = (code: BrokerErrorCode, retryAfterMs?: number): BrokerError =>
  new BrokerError(code, "x", retryAfterMs === undefined ? {} : { details: { retryAfterMs } });
const middle = (): number => 0.5;

test("back-off grows 10, 20, 50, 100, 200 and stays; jitter keeps within a quarter and 250 ms", () => {
  assert.deepEqual(
    [0, 1, 2, 3, 4, 5, 99].map((round) => backoffMs(round, middle)),
    [10, 20, 50, 100, 200, 200, 200],
  );
  assert.equal(
    backoffMs(0, () => 0),
    7.5,
  );
  assert.equal(
    backoffMs(4, () => 1),
    250,
  );
});

test("exactly five codes are tried again", () => {
  const retried = (Object.keys(ERROR_TABLE) as BrokerErrorCode[]).filter(
    (code) => createRetryPolicy(middle).next(error(code), 1000) !== undefined,
  );
  assert.deepEqual(retried.sort(), [
    "BACKEND_UNREACHABLE",
    "CONNECTION_CLOSED",
    "FD_PRESSURE",
    "RATE_LIMITED",
    "SHUTTING_DOWN",
  ]);
});

test("a hint is obeyed when it fits, and ends the tries when it does not", () => {
  const policy = createRetryPolicy(middle);
  assert.equal(policy.next(error("RATE_LIMITED", 700), 1000), 700);
  assert.equal(policy.next(error("RATE_LIMITED", 1000), 1000), undefined);
  assert.equal(policy.next(error("FD_PRESSURE"), 1000), 10);
  assert.equal(createRetryPolicy(middle).next(error("SHUTTING_DOWN", 9000), 1000), 10);
});

test("each code has its own count and its own end", () => {
  const policy = createRetryPolicy(middle);
  const tries = (code: BrokerErrorCode): number => {
    let count = 0;
    while (policy.next(error(code), 1e9) !== undefined) count += 1;
    return count;
  };
  assert.equal(tries("CONNECTION_CLOSED"), 5);
  assert.equal(tries("SHUTTING_DOWN"), 20);
  assert.equal(tries("BACKEND_UNREACHABLE"), 20);
});
