/**
 * Files whose owner is not left to remove them: sockets of backends that died after their broker had, and what somebody
 * had written of a record when it was killed. Looked for once, when a broker starts, beside serving and not before it.
 */
import { below, hash16 } from "../../model/places.ts";
import type { Platform } from "../../platform/ports/index.ts";
import { removeEndpointFiles } from "../launch/backend-records.ts";

const BACKEND_SOCKET = /^rpb-v1-[0-9a-f]{16}-be-[0-9a-f]{32}\.sock$/;
/** A broker's or a backend's; a broker's has a link with its name beside it. */
const HASHED_SOCKET = /^[0-9a-f]{16}\.sock$/;
const BROKER_LINK = /^rpb-v1-[0-9a-f]{16}-(shared|svc-.+|inst-.+)\.sock$/;
/** A younger one may belong to a launch of another broker that has bound it and does not listen yet. */
const LEAST_AGE_MS = 60_000;
const NS_PER_MS = 1_000_000n;

function hashedLeaf(file: string): string {
  return `${hash16(file.slice(0, -".sock".length))}.sock`;
}

/** Removes what no process has bound and none writes. Connects to nothing. Returns how many sockets there were. */
export function sweepEndpoints(
  platform: Pick<Platform, "clock" | "endpoints" | "files" | "locks" | "transport" | "user">,
  directory: string,
): number {
  const { clock, endpoints, files, locks, user } = platform;
  files.sweepTemporaries(directory);
  let swept = 0;
  const names = files.list(directory);
  const brokers = new Set(names.filter((name) => BROKER_LINK.test(name)).map((name) => hashedLeaf(name)));
  for (const name of names) {
    const hashed = HASHED_SOCKET.test(name);
    if (!BACKEND_SOCKET.test(name) && (!hashed || brokers.has(name))) continue;
    const path = below(directory, name);
    const facts = endpoints.find(path);
    if (facts?.kind !== "socket" || !user.owns(facts)) continue;
    if (clock.wallMs() - Number(facts.mtimeNs / NS_PER_MS) < LEAST_AGE_MS) continue;
    if (platform.transport.isBound(path)) continue;
    // One that is named by nothing could still be that of a broker which is about to bind it anew.
    const lock = hashed ? locks.tryAcquire(`${path}.lock`) : undefined;
    if (hashed && lock === undefined) continue;
    removeEndpointFiles(platform, path);
    lock?.release();
    swept++;
  }
  return swept;
}
