/**
 * What a Hello must look like before anything is done for it (spec: server §6). Pure; the order of the checks is frozen
 * and the first failure wins. Shape comes before everything that costs: a malformed Hello launches nothing.
 */

import { MAX_CLIENT_LIB_BYTES, MAX_CLIENT_VERSION_BYTES, MAX_WANTED_VERSION_BYTES } from "../wire/limits.ts";
import type { Hello } from "../wire/messages.ts";
import { isVersion, nameFault } from "./names.ts";
import { type Refusal, refuse } from "./refusal.ts";
import type { ServiceDefinition } from "./service-definition.ts";
import { judgeVersion } from "./version-policy.ts";

/** The one protocol version there is. Bump rule: with a new protobuf package only. */
export const PROTOCOL_VERSION = 1;
/** Hint for a version that only an edited definition can let through. Frozen. */
export const VERSION_BLOCKED_RETRY_MS = 30_000;

/** `peerPid`: what the kernel says; 0 when it cannot. */
export function checkHelloShape(hello: Hello, peerPid: number): Refusal | undefined {
  if (hello.clientMinProtocol > PROTOCOL_VERSION || hello.clientMaxProtocol < PROTOCOL_VERSION)
    return refuse("VERSION_UNSUPPORTED", "client protocol range does not include v1");
  if (nameFault(hello.serviceName) !== undefined) return refuse("PEER_REJECTED", "invalid service_name");
  if (byteLength(hello.wantedVersion) > MAX_WANTED_VERSION_BYTES || !isVersion(hello.wantedVersion))
    return refuse("PEER_REJECTED", "invalid wanted_version");
  if (byteLength(hello.clientVersion) > MAX_CLIENT_VERSION_BYTES)
    return refuse("PEER_REJECTED", "client_version exceeds 128 bytes");
  if (
    byteLength(hello.clientLibName) > MAX_CLIENT_LIB_BYTES ||
    byteLength(hello.clientLibVersion) > MAX_CLIENT_LIB_BYTES
  )
    return refuse("PEER_REJECTED", "client_lib fields exceed 64 bytes");
  if (hello.peerPid !== 0 && peerPid !== 0 && hello.peerPid !== peerPid)
    return refuse("PEER_REJECTED", "peer_pid does not match verified peer");
  return undefined;
}

export function checkVersionPolicy(definition: ServiceDefinition, wanted: string): Refusal | undefined {
  switch (judgeVersion(wanted, { minVersion: definition.minVersion, allowList: definition.versionAllowList })) {
    case "below-floor":
      return refuse("VERSION_BLOCKED", "wanted_version is below min_version", {
        retryAfterMs: VERSION_BLOCKED_RETRY_MS,
      });
    case "not-listed":
      return refuse("VERSION_BLOCKED", "wanted_version is not in version_allow_list", {
        retryAfterMs: VERSION_BLOCKED_RETRY_MS,
      });
    case "allowed":
      return undefined;
  }
}

function byteLength(text: string): number {
  return Buffer.byteLength(text);
}
