/**
 * What is remembered of each service and version beyond the life of one backend: the last error, and when it was last
 * asked for. Bounded: the key whose entry is oldest goes first.
 */

import type { Clock } from "../../base/clock.ts";
import { type BrokerErrorCode, isBrokerError, reasonOf } from "../../base/errors.ts";
import { type BackendKey, keyText } from "../../model/backend-key.ts";
import type { BackendEvent } from "../../model/backend-state.ts";
import { type ExitStatus, howItEnded } from "../../model/exit-status.ts";

export interface HealthRecord {
  readonly key: BackendKey;
  readonly lastError: string | undefined;
  readonly lastErrorCode: BrokerErrorCode | undefined;
  readonly lastErrorUnixMs: number | undefined;
  /** Of a backend that has ended; a live one knows its own. 0: none. */
  readonly lastHelloUnixMs: number;
}

export interface BackendHealth {
  launchFailed(key: BackendKey, error: unknown): void;
  /** A backend left the state `running`, or was killed while draining. */
  ended(key: BackendKey, event: BackendEvent, exit: ExitStatus | undefined, lastHelloUnixMs: number): void;
  get(key: BackendKey): HealthRecord | undefined;
  records(): readonly HealthRecord[];
}

const MAX_RECORDS = 512;
const MAX_ERROR_CHARS = 1024;

export function createBackendHealth(clock: Pick<Clock, "wallMs">): BackendHealth {
  const records = new Map<string, HealthRecord>();
  const note = (key: BackendKey, changes: Partial<HealthRecord>): void => {
    const id = keyText(key);
    const known = records.get(id) ?? {
      key,
      lastError: undefined,
      lastErrorCode: undefined,
      lastErrorUnixMs: undefined,
      lastHelloUnixMs: 0,
    };
    records.delete(id);
    records.set(id, { ...known, ...changes });
    for (const oldest of records.keys()) {
      if (records.size <= MAX_RECORDS) break;
      records.delete(oldest);
    }
  };
  const now = (): number => Math.round(clock.wallMs());
  return {
    launchFailed: (key, error) =>
      note(key, {
        lastError: reasonOf(error).slice(0, MAX_ERROR_CHARS),
        lastErrorCode: isBrokerError(error) ? error.code : "INTERNAL",
        lastErrorUnixMs: now(),
      }),
    ended(key, event, exit, lastHelloUnixMs) {
      const error = faultOf(event, exit);
      note(key, {
        ...(lastHelloUnixMs > 0 && { lastHelloUnixMs }),
        ...(error !== undefined && {
          lastError: error,
          lastErrorCode: "PROCESS_EXITED" as const,
          lastErrorUnixMs: now(),
        }),
      });
    },
    get: (key) => records.get(keyText(key)),
    records: () => [...records.values()],
  };
}

/** Undefined for an end that was asked for, or that the process chose for itself without complaint. */
function faultOf(event: BackendEvent, exit: ExitStatus | undefined): string | undefined {
  switch (event) {
    case "exited":
      if (exit === undefined) return "backend process ended";
      if (exit.signal !== null) return `backend was ended by ${exit.signal}`;
      return exit.code === 0 ? undefined : `backend exited ${howItEnded(exit)}`;
    case "not-serving":
      return "backend did not serve its endpoint any more";
    case "stop-timeout":
      return "backend did not end in time after SIGTERM and was killed";
    default:
      return undefined;
  }
}
