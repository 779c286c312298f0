import assert from "node:assert/strict";
import { type BrokerError, isBrokerError } from "../../../src/base/errors.ts";

/** The coded error of a promise that must reject, with its handler attached at once. */
export async function failureOf(work: Promise<unknown>): Promise<BrokerError> {
  try {
    await work;
  } catch (error) {
    assert.ok(isBrokerError(error), String(error));
    return error;
  }
  assert.fail("the promise was expected to reject");
}
