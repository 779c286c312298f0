/**
 * One launch of a version at a time over all brokers that share a directory (spec: launch §7.2): a broker that has lost
 * its endpoint and its successor do not start the same backend side by side. The lock goes with the process that holds it.
 */
import { BrokerError } from "../../base/errors.ts";
import type { BackendKey } from "../../model/backend-key.ts";
import type { Platform } from "../../platform/ports/index.ts";

export const SPAWN_LOCK_SUFFIX = ".spawn.lock";

/** @throws BrokerError RATE_LIMITED when another broker is launching it, IO_FAILED, FILE_INSECURE */
export function takeSpawnLock(
  { locks, paths }: Pick<Platform, "locks" | "paths">,
  brokerEndpoint: string,
  key: BackendKey,
): { release(): void } {
  const path = paths.join(paths.dirname(brokerEndpoint), `${key.service}-${key.version}${SPAWN_LOCK_SUFFIX}`);
  const lock = locks.tryAcquire(path);
  if (lock === undefined)
    throw new BrokerError("RATE_LIMITED", "backend spawn already in progress", { details: { path } });
  return lock;
}
