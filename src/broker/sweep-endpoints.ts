/**
 * Files whose owner is not left to remove them: sockets of backends that died after their broker had, and what somebody
 * had written of a record when it was killed. Looked for once, when a broker starts, beside serving and not before it.
 */
import { posix } from "node:path";
import type { Platform } from "../platform/ports.ts";
import { removeEndpointFiles } from "./launch-record.ts";

const BACKEND_SOCKET = /^rpb-v1-[0-9a-f]{16}-be-[0-9a-f]{32}\.sock$/;
/** A younger one may belong to a launch of another broker that has bound it and does not listen yet. */
const LEAST_AGE_MS = 60_000;
const NS_PER_MS = 1_000_000n;

/** Removes what no process has bound and none writes. Connects to nothing. Returns how many sockets there were. */
export function sweepEndpoints(
  platform: Pick<Platform, "clock" | "files" | "processes" | "transport">,
  directory: string,
): number {
  const { clock, files, processes } = platform;
  files.sweepTemporaries(directory);
  let swept = 0;
  for (const name of files.list(directory)) {
    if (!BACKEND_SOCKET.test(name)) continue;
    const path = posix.join(directory, name);
    const facts = files.facts(path);
    if (facts?.kind !== "socket" || facts.uid !== processes.selfUid) continue;
    if (clock.wallMs() - Number(facts.mtimeNs / NS_PER_MS) < LEAST_AGE_MS) continue;
    if (platform.transport.isBound(path)) continue;
    removeEndpointFiles(files, path);
    swept++;
  }
  return swept;
}
