/** Identity sidecars on disk: a record beside a daemon, for whoever looks for it without a broker. */

import type { BackendIdentity } from "../model/identity.ts";
import { decodeIdentitySidecar, encodeIdentitySidecar, tryDecodeIdentitySidecar } from "../model/identity-sidecar.ts";
import type { Files } from "../platform/ports/index.ts";

/** Real ones have one kilobyte. */
const MAX_SIDECAR_BYTES = 64 * 1024;

/** Creates or replaces the file as a whole; its directory must exist. @throws BrokerError IDENTITY_MALFORMED, IO_FAILED */
export function writeIdentityFile(files: Files, path: string, identity: BackendIdentity): void {
  files.sweepTemporaries(files.paths.dirname(path));
  files.writeAtomic(path, Buffer.from(encodeIdentitySidecar(identity)));
}

/**
 * Strict read; undefined when there is no file.
 *
 * @throws BrokerError IDENTITY_MALFORMED, FILE_INSECURE, IO_FAILED
 */
export function readIdentityFile(files: Files, path: string): BackendIdentity | undefined {
  const file = files.read(path, MAX_SIDECAR_BYTES);
  return file && decodeIdentitySidecar(file.bytes.toString());
}

/** Tolerant read: undefined also for a file that cannot be used. */
export function tryReadIdentityFile(files: Files, path: string): BackendIdentity | undefined {
  try {
    const file = files.read(path, MAX_SIDECAR_BYTES);
    return file && tryDecodeIdentitySidecar(file.bytes.toString());
  } catch {
    return undefined;
  }
}

/** Removes the record of exactly this process; that of a successor stays. Best effort: returns whether it was removed. */
export function removeIdentityFile(files: Files, path: string, identity: BackendIdentity): boolean {
  const found = tryReadIdentityFile(files, path);
  if (found?.pid !== identity.pid || found.startedAtUnixMs !== identity.startedAtUnixMs) return false;
  try {
    return files.remove(path);
  } catch {
    return false;
  }
}

/** The record of this process, while it serves. */
export interface Sidecar {
  /** Writes the record, unless it was withdrawn before. @throws BrokerError IDENTITY_MALFORMED, IO_FAILED */
  publish(identity: BackendIdentity): void;
  /** Removes what was published; nothing is published afterwards. Best effort. */
  withdraw(): void;
}

export function createSidecar(files: Files, path: string): Sidecar {
  let published: BackendIdentity | undefined;
  let withdrawn = false;
  return {
    publish(identity) {
      if (withdrawn) return;
      writeIdentityFile(files, path, identity);
      published = identity;
    },
    withdraw() {
      withdrawn = true;
      if (published !== undefined) removeIdentityFile(files, path, published);
    },
  };
}
