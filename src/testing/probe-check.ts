/** Does a live endpoint answer identity probes as the process it should be? */
import { reasonOf } from "../base/errors.ts";
import { type ProbeAnswer, probeEndpoint } from "../exchange/probe-endpoint.ts";
import type { BackendEndpoint, BackendIdentity } from "../model/identity.ts";
import type { Platform } from "../platform/ports/index.ts";
import { ConformanceError } from "./conformance-error.ts";

export interface ExpectedBackend {
  readonly pid: number;
  readonly endpoint: BackendEndpoint;
}

/**
 * One probe (500 ms) of `expected.endpoint.path`. Passes when the answer names the expected pid and endpoint; returns it.
 *
 * @throws ConformanceError `probe` with the failure as cause, `identity-mismatch`
 */
export async function checkProbeResponds(
  platform: Pick<Platform, "clock" | "transport" | "host">,
  expected: ExpectedBackend,
): Promise<BackendIdentity> {
  let answer: ProbeAnswer;
  try {
    answer = await probeEndpoint(platform, expected.endpoint.path);
  } catch (error) {
    throw new ConformanceError("probe", reasonOf(error), { cause: error });
  }
  answer.listener?.close();
  const { identity } = answer;
  compare("pid", identity.pid, expected.pid);
  compare("ipc_endpoint.namespace_id", identity.endpoint.namespaceId, expected.endpoint.namespaceId);
  compare("ipc_endpoint.path", identity.endpoint.path, expected.endpoint.path);
  return identity;
}

function compare(field: string, actual: string | number, expected: string | number): void {
  if (actual === expected) return;
  throw new ConformanceError(
    "identity-mismatch",
    `${field} is ${JSON.stringify(actual)}, expected ${JSON.stringify(expected)}`,
  );
}
