/**
 * The note a failed start leaves beside the socket, so that everybody who waited for it fails at once with its reason
 * instead of failing one after the other with a start of their own. Notes from before the wait began mean nothing.
 */
import { BrokerError, type ErrorDetails } from "../base/errors.ts";
import { sameStamp } from "../model/file-identity.ts";
import type { Files } from "../platform/ports/index.ts";

export interface StartFailureNote {
  /** The failure written since this object was made; undefined when there is none. */
  since(): BrokerError | undefined;
  /** Leaves the note. A note that cannot be written is done without. */
  leave(error: BrokerError): void;
  clear(): void;
}

const MAX_NOTE_BYTES = 64 * 1024;

/** Remembers which note is there now. */
export function createStartFailureNote(files: Files, endpoint: string): StartFailureNote {
  const path = `${endpoint}.start.failed`;
  const seen = files.facts(path);
  return {
    since() {
      return sameStamp(files.facts(path), seen) ? undefined : readNote(files, path);
    },
    leave(error) {
      attempt(() =>
        files.writeAtomic(path, Buffer.from(JSON.stringify({ reason: error.reason, details: error.details }))),
      );
    },
    clear() {
      if (files.facts(path) !== undefined) attempt(() => files.remove(path));
    },
  };
}

function readNote(files: Files, path: string): BrokerError | undefined {
  const file = files.read(path, MAX_NOTE_BYTES);
  if (file === undefined) return undefined;
  const { reason, details } = parse(file.bytes.toString());
  return new BrokerError("BROKER_START_FAILED", `another client's start of the broker failed: ${reason}`, { details });
}

function parse(text: string): { reason: string; details: ErrorDetails } {
  try {
    const { reason, details } = JSON.parse(text) as { reason?: unknown; details?: unknown };
    return { reason: String(reason), details: typeof details === "object" && details !== null ? details : {} };
  } catch {
    return { reason: "its note cannot be read", details: {} };
  }
}

function attempt(work: () => unknown): void {
  try {
    work();
  } catch {
    // The note only spares others some waiting.
  }
}
