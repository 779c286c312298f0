/**
 * The record of a running backend, for the broker that comes after this one: a cache manifest (spec: wire §4) whose
 * `current_daemon` is the backend, so that other readers of manifests understand it. What only we need is JSON in one
 * label of its one root; one, because readers of the reference see a map with two entries as corrupt.
 */
import { sha256 } from "@noble/hashes/sha2.js";
import { BrokerError, reasonOf } from "../base/errors.ts";
import { decodeMessage, encodeMessage } from "../wire/codec.ts";
import { CacheManifestSchema, CacheRootKind, StorageDisposition } from "../wire/messages.ts";
import { type BackendIdentity, identityFromMessage, identityToMessage } from "./identity.ts";
import { decodeServiceDefinition, encodeServiceDefinition, type ServiceDefinition } from "./service-definition.ts";

export interface BackendManifest {
  readonly instanceId: string;
  readonly service: string;
  readonly version: string;
  readonly identity: BackendIdentity;
  /** `ProcessFacts.startToken`: with the pid it names the process for good. Any text: one that no process has is of none. */
  readonly startToken: string;
  /** The executable as the kernel shows it: the interpreter's, for a script. */
  readonly kernelExe: string;
  /** Address of the broker that launched it; only the broker at that address may take it over. */
  readonly brokerEndpoint: string;
  /** What it was launched from. */
  readonly definition: ServiceDefinition;
  readonly logPath: string;
  /** It drains: it is to take no new client. */
  readonly retired: boolean;
}

export const MANIFEST_MEDIA_TYPE = "application/vnd.running-process.cache-manifest.v1";
const SCHEMA_VERSION = 1;
const LAUNCH_LABEL = "launch";

export function encodeBackendManifest(
  manifest: BackendManifest,
  host: { machineId: string; hostname: string },
): Buffer {
  const { identity } = manifest;
  const launch = {
    broker_endpoint: manifest.brokerEndpoint,
    start_time: manifest.startToken,
    kernel_exe: manifest.kernelExe,
    retired: manifest.retired,
    definition: Buffer.from(encodeServiceDefinition(manifest.definition)).toString("base64"),
  };
  const message = {
    serviceName: manifest.service,
    serviceVersion: manifest.version,
    brokerEnvelopeVersion: "v1",
    createdAtUnixMs: BigInt(identity.startedAtUnixMs),
    lastActiveUnixMs: BigInt(identity.startedAtUnixMs),
    roots: [
      {
        path: identity.endpoint.path,
        kind: CacheRootKind.CACHE_RUNTIME,
        disposition: StorageDisposition.PRUNE_ON_CRASH,
        labels: { [LAUNCH_LABEL]: JSON.stringify(launch) },
      },
    ],
    currentDaemon: identityToMessage(identity),
    brokerInstance: manifest.instanceId,
    observability: { logPath: manifest.logPath },
    manifestSchemaVersion: SCHEMA_VERSION,
    mediaType: MANIFEST_MEDIA_TYPE,
    host: { hostname: host.hostname, machineId: host.machineId, bootId: identity.bootId },
  };
  const hash = sha256(encodeMessage(CacheManifestSchema, message));
  return Buffer.from(encodeMessage(CacheManifestSchema, { ...message, selfSha256: hash }));
}

/** @throws BrokerError MESSAGE_MALFORMED: torn, changed, of a later schema, or not written by a broker of ours */
export function decodeBackendManifest(bytes: Uint8Array): BackendManifest {
  const message = decodeMessage(CacheManifestSchema, bytes);
  if (message.manifestSchemaVersion > SCHEMA_VERSION)
    throw malformed(`its schema is ${message.manifestSchemaVersion}, this version knows ${SCHEMA_VERSION}`);
  const { selfSha256 } = message;
  message.selfSha256 = new Uint8Array(0);
  if (Buffer.compare(selfSha256, sha256(encodeMessage(CacheManifestSchema, message))) !== 0)
    throw malformed("its hash does not fit its content");
  const launch = message.roots[0]?.labels[LAUNCH_LABEL];
  if (message.currentDaemon === undefined || launch === undefined) throw malformed("it records no launch of a broker");
  try {
    const facts = JSON.parse(launch) as Record<string, unknown>;
    return {
      instanceId: message.brokerInstance,
      service: message.serviceName,
      version: message.serviceVersion,
      identity: identityFromMessage(message.currentDaemon),
      startToken: text(facts, "start_time"),
      kernelExe: text(facts, "kernel_exe"),
      brokerEndpoint: text(facts, "broker_endpoint"),
      definition: decodeServiceDefinition(Buffer.from(text(facts, "definition"), "base64"), message.serviceName),
      logPath: message.observability?.logPath ?? "",
      retired: facts.retired === true,
    };
  } catch (error) {
    throw malformed(reasonOf(error), error);
  }
}

function text(facts: Record<string, unknown>, key: string): string {
  const value = facts[key];
  if (typeof value === "string" && value !== "") return value;
  throw malformed(`${key} is missing`);
}

function malformed(why: string, cause?: unknown): BrokerError {
  return new BrokerError("MESSAGE_MALFORMED", `the manifest cannot be used: ${why}`, { cause });
}
