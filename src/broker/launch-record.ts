/**
 * Footprints of launches in progress. A record is written before anything is started and removed when the launch is
 * settled either way; one that is still there when a broker starts was left by a broker that died in between. What such
 * a launch started is known by its endpoint's random path in the environment, so no pid has to be trusted.
 */
import { posix } from "node:path";
import { launchMarker } from "../model/launch-environment.ts";
import type { Files, Platform, Processes, ProcessHandle } from "../platform/ports.ts";

const SUFFIX = ".launch";
const MAX_RECORD_BYTES = 4096;
/** No process has this session. */
const NO_SESSION = -1;

export interface LaunchRecord {
  remove(): void;
}

/** `brokerEndpoint` says whose launch it is: only the broker that holds that endpoint's lock may clean up after it. */
export function writeLaunchRecord(files: Files, endpoint: string, brokerEndpoint: string): LaunchRecord {
  const path = endpoint + SUFFIX;
  files.writeAtomic(path, Buffer.from(JSON.stringify({ broker_endpoint: brokerEndpoint })));
  return { remove: () => void files.remove(path) };
}

/** Ends what launches of an earlier broker at `brokerEndpoint` left running and removes their files. Returns how many there were. */
export function reapInterruptedLaunches(
  platform: Pick<Platform, "files" | "processes">,
  directory: string,
  brokerEndpoint: string,
): number {
  const { files, processes } = platform;
  let reaped = 0;
  for (const name of files.list(directory)) {
    if (!name.endsWith(SUFFIX)) continue;
    const record = posix.join(directory, name);
    if (ownerOf(files, record) !== brokerEndpoint) continue;
    const endpoint = record.slice(0, -SUFFIX.length);
    const marker = launchMarker({ namespaceId: "", path: endpoint });
    for (const process of killDescendants(processes, { sessionId: NO_SESSION, marker })) process.close();
    removeEndpointFiles(files, endpoint);
    files.remove(record);
    reaped++;
  }
  return reaped;
}

/**
 * SIGKILL to all that came of a launch, also to what left its session: twice, because a process can fork between look
 * and kill. The caller closes the handles.
 */
export function killDescendants(
  processes: Pick<Processes, "findDescendants">,
  search: { sessionId: number; marker: string },
): ProcessHandle[] {
  const killed: ProcessHandle[] = [];
  for (let pass = 0; pass < 2; pass++) {
    for (const process of processes.findDescendants(search)) {
      process.signal("SIGKILL");
      killed.push(process);
    }
  }
  return killed;
}

/** The socket and what an SDK backend keeps beside it. */
export function removeEndpointFiles(files: Files, endpoint: string): void {
  for (const path of [endpoint, `${endpoint}.lock`]) {
    try {
      files.remove(path);
    } catch {
      // A backend that made a directory of its socket must not take the broker along; nobody gets this path again.
    }
  }
}

function ownerOf(files: Files, record: string): unknown {
  try {
    const text = files.read(record, MAX_RECORD_BYTES)?.bytes.toString("utf8") ?? "null";
    return (JSON.parse(text) as { broker_endpoint?: unknown } | null)?.broker_endpoint;
  } catch {
    // Half-written or somebody else's: not ours to act on.
    return undefined;
  }
}
