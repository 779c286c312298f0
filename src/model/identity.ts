/**
 * Who a backend is: the record it answers probes with, that sidecars and manifests hold, and that is compared with what
 * the kernel says (spec: identity §1). Dual stack: both hashes are written, either is accepted.
 */
import { optionalBytes, optionalNumber, requireNumber, requireObject, requireText } from "../base/check-option.ts";
import { BrokerError } from "../base/errors.ts";
import type { DaemonProcess } from "../wire/messages.ts";
import type { Init } from "../wire/schema.ts";

export interface BackendEndpoint {
  /** Broker instance id for launched backends, any label for others. */
  readonly namespaceId: string;
  readonly path: string;
}

export interface BackendIdentity {
  readonly pid: number;
  /** Canonical path of the executable; of the script when an interpreter runs one. */
  readonly exePath: string;
  /** 32 bytes; absent when the peer only knows BLAKE3. */
  readonly sha256?: Uint8Array;
  /** 32 bytes; absent when the peer only knows SHA-256. */
  readonly blake3?: Uint8Array;
  readonly endpoint: BackendEndpoint;
  readonly startedAtUnixMs: number;
  readonly bootId: string;
  readonly idleTimeoutSecs?: number;
}

const HASH_BYTES = 32;
const BLAKE3 = "blake3";

const COUNT = { least: 0, whole: true } as const;

/** The shape alone, of which a caller without types knows nothing. @throws BrokerError OPTION_INVALID */
export function requireIdentity(name: string, value: unknown): void {
  requireObject(name, value);
  const identity = value as Partial<Record<keyof BackendIdentity, unknown>>;
  requireObject(`${name}.endpoint`, identity.endpoint);
  const endpoint = identity.endpoint as Partial<Record<keyof BackendEndpoint, unknown>>;
  requireText(`${name}.endpoint.path`, endpoint.path);
  requireText(`${name}.endpoint.namespaceId`, endpoint.namespaceId);
  requireText(`${name}.exePath`, identity.exePath);
  requireText(`${name}.bootId`, identity.bootId);
  requireNumber(`${name}.pid`, identity.pid, COUNT, "a process id");
  requireNumber(`${name}.startedAtUnixMs`, identity.startedAtUnixMs, COUNT, "whole milliseconds since 1970 UTC");
  optionalNumber(`${name}.idleTimeoutSecs`, identity.idleTimeoutSecs, COUNT, "a whole number of seconds");
  optionalBytes(`${name}.sha256`, identity.sha256);
  optionalBytes(`${name}.blake3`, identity.blake3);
}

export function identityToMessage(identity: BackendIdentity): Init<DaemonProcess> {
  return {
    pid: identity.pid,
    exePath: identity.exePath,
    ...(identity.sha256 && { exeSha256: identity.sha256 }),
    ipcEndpoint: { namespaceId: identity.endpoint.namespaceId, path: identity.endpoint.path },
    startedAtUnixMs: BigInt(identity.startedAtUnixMs),
    bootId: identity.bootId,
    ...(identity.idleTimeoutSecs !== undefined && { idleTimeoutSecs: identity.idleTimeoutSecs }),
    ...(identity.blake3 && { exeHashAlgorithm: BLAKE3, exeHash: identity.blake3 }),
  };
}

/** @throws BrokerError IDENTITY_MALFORMED: no endpoint (checked first), no hash we know, or one of another length than 32. */
export function identityFromMessage(message: DaemonProcess): BackendIdentity {
  if (message.ipcEndpoint === undefined) throw malformed("endpoint", "the identity has no endpoint");
  const hasSha256 = message.exeSha256.length > 0;
  const hasBlake3 = message.exeHashAlgorithm === BLAKE3;
  if (hasSha256 && message.exeSha256.length !== HASH_BYTES)
    throw malformed("exe_sha256", `exe_sha256 has ${message.exeSha256.length} bytes, expected ${HASH_BYTES}`);
  if (hasBlake3 && message.exeHash.length !== HASH_BYTES)
    throw malformed("exe_hash", `exe_hash has ${message.exeHash.length} bytes, expected ${HASH_BYTES}`);
  if (!hasSha256 && !hasBlake3)
    throw malformed(
      "exe_sha256",
      `the identity has neither a SHA-256 nor a BLAKE3 hash (algorithm ${JSON.stringify(message.exeHashAlgorithm)})`,
    );
  return {
    pid: message.pid,
    exePath: message.exePath,
    ...(hasSha256 && { sha256: message.exeSha256 }),
    ...(hasBlake3 && { blake3: message.exeHash }),
    endpoint: { namespaceId: message.ipcEndpoint.namespaceId, path: message.ipcEndpoint.path },
    startedAtUnixMs: Number(message.startedAtUnixMs),
    bootId: message.bootId,
    ...(message.idleTimeoutSecs !== undefined && { idleTimeoutSecs: message.idleTimeoutSecs }),
  };
}

export type IdentityField = "pid" | "exe_path" | "exe_sha256" | "exe_hash" | "boot_id" | "ipc_endpoint";

/** The first field that differs, in the order of the spec (identity §3 step 15); start time and idle time-out do not count. */
export function identityDifference(expected: BackendIdentity, actual: BackendIdentity): IdentityField | undefined {
  if (expected.pid !== actual.pid) return "pid";
  if (expected.exePath !== actual.exePath) return "exe_path";
  const hashes = hashDifference(expected, actual);
  if (hashes !== undefined) return hashes;
  if (expected.bootId !== actual.bootId) return "boot_id";
  if (expected.endpoint.namespaceId !== actual.endpoint.namespaceId || expected.endpoint.path !== actual.endpoint.path)
    return "ipc_endpoint";
  return undefined;
}

/** Every hash both sides have must agree, and there must be one. */
function hashDifference(expected: BackendIdentity, actual: BackendIdentity): IdentityField | undefined {
  let compared = false;
  for (const [mine, theirs, field] of [
    [expected.sha256, actual.sha256, "exe_sha256"],
    [expected.blake3, actual.blake3, "exe_hash"],
  ] as const) {
    if (mine === undefined || theirs === undefined) continue;
    if (Buffer.compare(mine, theirs) !== 0) return field;
    compared = true;
  }
  return compared ? undefined : "exe_sha256";
}

function malformed(check: string, what: string): BrokerError {
  return new BrokerError("IDENTITY_MALFORMED", what, { details: { check } });
}
