/**
 * The identity of a running backend as a JSON file beside it (spec: backend-sdk §4). The first seven keys are those of
 * the 4.5.5 generation, in its order and its pretty print; the two after them are what later generations look for. A
 * reader of either generation ignores the other's keys.
 */
import { BrokerError, reasonOf } from "../base/errors.ts";
import { type BackendIdentity, requireIdentity } from "./identity.ts";

const HASH_BYTES = 32;
const BLAKE3 = "blake3";
const MAX_U32 = 2 ** 32 - 1;

/**
 * The file's text: indented by two spaces, without a newline at the end.
 *
 * @throws BrokerError OPTION_INVALID; IDENTITY_MALFORMED when the executable's path is no valid Unicode text
 */
export function encodeIdentitySidecar(identity: BackendIdentity): string {
  requireIdentity("identity", identity);
  if (Buffer.from(identity.exePath).toString() !== identity.exePath)
    throw malformed("exe_path", "exe_path is not valid Unicode text");
  return JSON.stringify(
    {
      pid: identity.pid,
      exe_path: identity.exePath,
      ...(identity.sha256 && { exe_sha256: [...identity.sha256] }),
      boot_id: identity.bootId,
      ipc_endpoint: { namespace_id: identity.endpoint.namespaceId, path: identity.endpoint.path },
      started_at_unix_ms: identity.startedAtUnixMs,
      idle_timeout_secs: identity.idleTimeoutSecs ?? null,
      ...(identity.blake3 && { exe_hash_algorithm: BLAKE3, exe_hash: [...identity.blake3] }),
    },
    null,
    2,
  );
}

/**
 * Strict: the record, or why it is none.
 *
 * @throws BrokerError IDENTITY_MALFORMED with the key in `details.check` (`json` when it is no JSON object)
 */
export function decodeIdentitySidecar(text: string): BackendIdentity {
  const record = parseObject(text);
  const sha256 = hashOf(record, "exe_sha256") ?? unlessZero(hashOf(record, "legacy_exe_sha256"));
  const blake3 = record.exe_hash_algorithm === BLAKE3 ? hashOf(record, "exe_hash") : undefined;
  if (sha256 === undefined && blake3 === undefined)
    throw malformed("exe_sha256", "the record has neither a SHA-256 nor a BLAKE3 hash");
  const endpoint = record.ipc_endpoint;
  if (!isObject(endpoint)) throw malformed("ipc_endpoint", "ipc_endpoint is missing or no object");
  const idleTimeoutSecs = record.idle_timeout_secs ?? undefined;
  return {
    pid: unsigned(record.pid, "pid", MAX_U32),
    exePath: string(record.exe_path, "exe_path"),
    ...(sha256 && { sha256 }),
    ...(blake3 && { blake3 }),
    endpoint: { namespaceId: string(endpoint.namespace_id, "namespace_id"), path: string(endpoint.path, "path") },
    startedAtUnixMs: unsigned(record.started_at_unix_ms, "started_at_unix_ms", Number.MAX_SAFE_INTEGER),
    bootId: string(record.boot_id, "boot_id"),
    ...(idleTimeoutSecs !== undefined && { idleTimeoutSecs: unsigned(idleTimeoutSecs, "idle_timeout_secs", MAX_U32) }),
  };
}

/** Tolerant: the record, or undefined for whatever is none. */
export function tryDecodeIdentitySidecar(text: string): BackendIdentity | undefined {
  try {
    return decodeIdentitySidecar(text);
  } catch {
    return undefined;
  }
}

type JsonObject = Readonly<Record<string, unknown>>;

function parseObject(text: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new BrokerError("IDENTITY_MALFORMED", `the identity record is not JSON: ${reasonOf(error)}`, {
      details: { check: "json" },
      cause: error,
    });
  }
  if (!isObject(value)) throw malformed("json", "the identity record is not a JSON object");
  return value;
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Undefined when the key is absent or null. */
function hashOf(record: JsonObject, key: string): Uint8Array | undefined {
  const value = record[key] ?? undefined;
  if (value === undefined) return undefined;
  const bytes: unknown[] = Array.isArray(value) ? value : [];
  if (bytes.length !== HASH_BYTES || !bytes.every(isByte))
    throw malformed(key, `${key} is not an array of ${HASH_BYTES} integers from 0 to 255`);
  return Uint8Array.from(bytes);
}

function isByte(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= 255;
}

/** Later generations write 32 zeros where they know no SHA-256. */
function unlessZero(hash: Uint8Array | undefined): Uint8Array | undefined {
  return hash?.some((byte) => byte !== 0) ? hash : undefined;
}

function string(value: unknown, key: string): string {
  if (typeof value === "string") return value;
  throw malformed(key, `${key} is missing or no string`);
}

function unsigned(value: unknown, key: string, most: number): number {
  if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= most) return value;
  throw malformed(key, `${key} is missing or no integer from 0 to ${most}`);
}

function malformed(check: string, what: string): BrokerError {
  return new BrokerError("IDENTITY_MALFORMED", what, { details: { check } });
}
