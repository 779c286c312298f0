/**
 * Runs a script against an endpoint mux: each step appends bytes to one shared read buffer, polls exactly once, and
 * says what the outcome must be. The buffer then is what a correct caller would have left: kept when more is needed,
 * cleared after legacy bytes and after an error, cut by what a message consumed.
 */

import type { EndpointMux, MuxOutcome } from "../backend/mux.ts";
import { isBrokerError } from "../base/errors.ts";
import { ConformanceError } from "./conformance-error.ts";

export type ExpectedOutcome =
  | { readonly type: "need-more" }
  | { readonly type: "legacy" }
  | { readonly type: "probe-answered" }
  | { readonly type: "payload"; readonly protocol: number }
  /** `contains`: part of the error's code or of its check, such as `unserved`. Case does not matter. */
  | { readonly type: "error"; readonly contains: string };

export interface MixedWireStep {
  /** Appended to the buffer; may be empty, to poll what is left. */
  readonly append: Uint8Array;
  readonly expect: ExpectedOutcome;
}

/**
 * Returns what is left in the buffer after the last step.
 *
 * @throws ConformanceError `unexpected-verdict`, `unexpected-mux-error`; the message names the step, counted from 0
 */
export function runMixedWire(mux: EndpointMux, steps: readonly MixedWireStep[]): Buffer {
  let buffer: Buffer = Buffer.alloc(0);
  for (const [index, step] of steps.entries()) {
    buffer = Buffer.concat([buffer, step.append]);
    buffer = buffer.subarray(pollOnce(mux, buffer, { index, expect: step.expect }));
  }
  return buffer;
}

/** How many bytes leave the front of the buffer. */
function pollOnce(mux: EndpointMux, buffer: Buffer, step: { index: number; expect: ExpectedOutcome }): number {
  let outcome: MuxOutcome;
  try {
    outcome = mux.poll(buffer);
  } catch (error) {
    checkError(error, step);
    return buffer.length;
  }
  const got = describe(outcome);
  const expected = describe(step.expect);
  if (got !== expected)
    throw new ConformanceError("unexpected-verdict", `step ${step.index}: ${got}, expected ${expected}`);
  if (outcome.type === "need-more") return 0;
  return outcome.type === "legacy" ? buffer.length : outcome.consumed;
}

function checkError(error: unknown, step: { index: number; expect: ExpectedOutcome }): void {
  const name = isBrokerError(error) ? `${error.code} ${error.details.check ?? ""}`.trim() : String(error);
  if (step.expect.type === "error" && name.toLowerCase().includes(step.expect.contains.toLowerCase())) return;
  throw new ConformanceError("unexpected-mux-error", `step ${step.index}: ${name}, expected ${describe(step.expect)}`, {
    cause: error,
  });
}

function describe(outcome: MuxOutcome | ExpectedOutcome): string {
  switch (outcome.type) {
    case "payload":
      return `payload of protocol ${"frame" in outcome ? outcome.frame.payloadProtocol : outcome.protocol}`;
    case "error":
      return `an error containing ${JSON.stringify(outcome.contains)}`;
    default:
      return outcome.type;
  }
}
