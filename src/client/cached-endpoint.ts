/**
 * The Hello-skip: an endpoint the caller remembers, dialled without a broker (spec: client §2, step 1). Whatever goes
 * wrong with it is no failure of the call, only the reason to ask the broker.
 */
import { type BrokerError, hasCode, isBrokerError } from "../base/errors.ts";
import { verifyBackend } from "../exchange/verify-backend.ts";
import type { Connection, Platform } from "../platform/ports/index.ts";
import { dial } from "./dial.ts";
import type { ConnectOptions } from "./options.ts";
import { createTimeBox, type TimeBox } from "./time-box.ts";

/** What a stale or stuck backend may cost before the broker is asked: milliseconds, for proof and connection together. */
const CACHED_LIMIT_MS = 500;

export type CachedOutcome =
  | { readonly kind: "none" }
  | {
      readonly kind: "connected";
      readonly endpoint: string;
      readonly connection: Connection;
      readonly verified: boolean;
    }
  | { readonly kind: "failed"; readonly error: BrokerError };

/** @throws BrokerError ABORTED, DEADLINE_EXCEEDED when the whole call's time is up */
export async function tryCachedEndpoint(
  platform: Platform,
  options: ConnectOptions,
  box: TimeBox,
): Promise<CachedOutcome> {
  const endpoint = options.cachedEndpoint ?? options.verifyCached?.endpoint.path;
  if (endpoint === undefined || (options.selfVersion ?? options.version) !== options.version) return { kind: "none" };
  const limited = createTimeBox(box.clock, Math.min(CACHED_LIMIT_MS, box.deadline.remainingMs()), box.signal);
  try {
    const { verifyCached } = options;
    if (verifyCached !== undefined) {
      await limited.run(`verifying the backend at ${endpoint}`, (deadline) =>
        verifyBackend(platform, { expected: verifyCached, deadline }),
      );
    }
    const connection = await dial(platform, {
      path: endpoint,
      who: "backend",
      unavailable: "BACKEND_UNREACHABLE",
      box: limited,
    });
    return { kind: "connected", endpoint, connection, verified: verifyCached !== undefined };
  } catch (error) {
    if (!isBrokerError(error) || hasCode(error, "ABORTED") || box.deadline.passed()) throw error;
    return { kind: "failed", error };
  }
}
