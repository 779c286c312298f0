/**
 * Footprints of backends, beside their sockets. `.launch`: a launch is under way; written before anything is started.
 * `.manifest`: it runs; written before its first client hears of it. One of them is there from the first moment to the
 * last, so that a broker that dies leaves nothing the next one cannot find. What an interrupted launch started is known
 * by its endpoint's random path in the environment, so no pid has to be trusted.
 */
import { BrokerError } from "../../base/errors.ts";
import type { BackendKey } from "../../model/backend-key.ts";
import { type BackendManifest, decodeBackendManifest, encodeBackendManifest } from "../../model/backend-manifest.ts";
import type { BackendIdentity } from "../../model/identity.ts";
import { below } from "../../model/places.ts";
import type { ServiceDefinition } from "../../model/service-definition.ts";
import type { Files, Platform } from "../../platform/ports/index.ts";

const LAUNCH_SUFFIX = ".launch";
const MANIFEST_SUFFIX = ".manifest";
const MAX_LAUNCH_BYTES = 4096;
/** A definition may have 256 KiB, and a third more in base64. */
const MAX_MANIFEST_BYTES = 512 * 1024;

/** `brokerEndpoint` says whose launch it is: only the broker that holds that endpoint's lock may clean up after it. */
export function writeLaunchRecord(files: Files, endpoint: string, brokerEndpoint: string): void {
  const record = JSON.stringify({ broker_endpoint: brokerEndpoint });
  files.writeAtomic(endpoint + LAUNCH_SUFFIX, Buffer.from(record));
}

export interface ManifestFacts {
  readonly key: BackendKey;
  readonly identity: BackendIdentity;
  readonly definition: ServiceDefinition;
  readonly brokerEndpoint: string;
  readonly logPath: string;
  readonly retired: boolean;
  /** Of the process that is held: asked after its facts were read by number. */
  readonly isAlive: () => boolean;
}

/** Replaces the launch record. @throws BrokerError PROCESS_EXITED, IO_FAILED; the launch record is gone all the same */
export function writeManifest(platform: Pick<Platform, "files" | "host" | "processes">, facts: ManifestFacts): void {
  const { files, host, processes } = platform;
  const { path } = facts.identity.endpoint;
  try {
    const process = processes.inspect(facts.identity.pid);
    if (process === undefined || !facts.isAlive())
      throw new BrokerError("PROCESS_EXITED", `process ${facts.identity.pid} ended before it was recorded`);
    const manifest = {
      ...facts.key,
      ...facts,
      startToken: process.startToken,
      kernelExe: process.exePath,
    };
    const named = { machineId: host.machineId(), hostname: host.hostname() };
    files.writeAtomic(path + MANIFEST_SUFFIX, encodeBackendManifest(manifest, named));
  } finally {
    files.remove(path + LAUNCH_SUFFIX);
  }
}

/** A record that was found; `brokerEndpoint` is undefined when it cannot be read. */
export type FoundRecord =
  | { readonly endpoint: string; readonly kind: "unreadable" }
  | { readonly endpoint: string; readonly kind: "launching"; readonly brokerEndpoint: string }
  | {
      readonly endpoint: string;
      readonly kind: "ready";
      readonly brokerEndpoint: string;
      readonly manifest: BackendManifest;
    };

/** Every record in a directory; of one that has both, the manifest counts. */
export function findRecords(files: Files, directory: string): readonly FoundRecord[] {
  const found = new Map<string, FoundRecord>();
  for (const name of files.list(directory)) {
    const suffix = [LAUNCH_SUFFIX, MANIFEST_SUFFIX].find((each) => name.endsWith(each) && name !== each);
    if (suffix === undefined || name.startsWith(".")) continue;
    const endpoint = below(directory, name.slice(0, -suffix.length));
    const record = suffix === LAUNCH_SUFFIX ? readLaunch(files, endpoint) : readManifest(files, endpoint);
    if (found.get(endpoint)?.kind !== "ready") found.set(endpoint, record);
  }
  return [...found.values()];
}

function readLaunch(files: Files, endpoint: string): FoundRecord {
  try {
    const text = files.read(endpoint + LAUNCH_SUFFIX, MAX_LAUNCH_BYTES)?.bytes.toString("utf8") ?? "null";
    const brokerEndpoint = (JSON.parse(text) as { broker_endpoint?: unknown } | null)?.broker_endpoint;
    if (typeof brokerEndpoint === "string") return { endpoint, kind: "launching", brokerEndpoint };
  } catch {
    // Half-written or somebody else's: not ours to act on.
  }
  return { endpoint, kind: "unreadable" };
}

function readManifest(files: Files, endpoint: string): FoundRecord {
  try {
    const read = files.read(endpoint + MANIFEST_SUFFIX, MAX_MANIFEST_BYTES);
    const manifest = read && decodeBackendManifest(read.bytes);
    // One that was copied to another name says nothing about what is there.
    if (manifest?.identity.endpoint.path === endpoint)
      return { endpoint, kind: "ready", brokerEndpoint: manifest.brokerEndpoint, manifest };
  } catch {
    // As above.
  }
  return { endpoint, kind: "unreadable" };
}

export type EndpointPorts = Pick<Platform, "endpoints" | "files">;

/** The socket, what an SDK backend keeps beside it, and the records. */
export function removeEndpointFiles({ endpoints, files }: EndpointPorts, endpoint: string): void {
  const beside = [`${endpoint}.lock`, endpoint + MANIFEST_SUFFIX, endpoint + LAUNCH_SUFFIX];
  for (const remove of [() => endpoints.remove(endpoint), ...beside.map((path) => () => files.remove(path))]) {
    try {
      remove();
    } catch {
      // A backend that made a directory of its socket must not take the broker along; nobody gets this path again.
    }
  }
}
