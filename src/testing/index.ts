/**
 * `running-process-broker/testing`: checks for authors of backends and clients, and a clock for their tests. Every check
 * returns when it passes and throws a ConformanceError when it does not, so that any test runner can use it.
 */

import { requireObject, requireText } from "../base/check-option.ts";
import { brokerErrorFrom } from "../base/system-error.ts";
import type { BackendIdentity } from "../model/identity.ts";
import { loadPlatform } from "../platform/platform.ts";
import { ConformanceError } from "./conformance-error.ts";
import { checkProbeResponds as checkProbeRespondsOn, type ExpectedBackend } from "./probe-check.ts";

/**
 * One probe of a live endpoint; passes when it answers with the expected pid and endpoint. Returns the answer.
 *
 * @throws ConformanceError `probe`, `identity-mismatch`; BrokerError PLATFORM_UNSUPPORTED
 */
export async function checkProbeResponds(expected: ExpectedBackend): Promise<BackendIdentity> {
  try {
    requireObject("expected", expected);
    requireObject("expected.endpoint", expected.endpoint);
    requireText("expected.endpoint.path", expected.endpoint.path);
    return await checkProbeRespondsOn(await loadPlatform(), expected);
  } catch (error) {
    throw error instanceof ConformanceError ? error : brokerErrorFrom(error);
  }
}

export type { ConformanceKind } from "./conformance-error.ts";
export { ConformanceError } from "./conformance-error.ts";
export type { ExpectedFrame, FrameFields } from "./golden-frame.ts";
export { checkFramedBytesDecodeTo, checkFramedFrameMatchesGolden } from "./golden-frame.ts";
export type { ManualClock } from "./manual-clock.ts";
export { createManualClock } from "./manual-clock.ts";
export type { ExpectedOutcome, MixedWireStep } from "./mixed-wire.ts";
export { runMixedWire } from "./mixed-wire.ts";
export type { ExpectedBackend } from "./probe-check.ts";
