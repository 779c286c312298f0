/** What is said of backends and their definitions. */
import type { Clock } from "../../base/clock.ts";
import { isBrokerError, reasonOf } from "../../base/errors.ts";
import type { BackendKey, WantedBackend } from "../../model/backend-key.ts";
import type { LeftoverEvidence, LeftoverVerdict } from "../../model/classify-leftover.ts";
import type { DefinitionDifference } from "../../model/definition-differences.ts";
import type { Refusal } from "../../model/refusal.ts";
import type { ServiceDefinition } from "../../model/service-definition.ts";
import type { BrokerEvent } from "./broker-event.ts";
import { keyName } from "./key-name.ts";
import { createLaunchHistory, type Transition } from "./launch-reasons.ts";
import type { Asker, Crash, DroppedOutput } from "./reports.ts";

export interface BackendEvents {
  launching(key: BackendKey, askedBy: Asker): void;
  /** What the broker was told to launch as it starts, and why it does not. */
  notLaunchedAhead(wanted: WantedBackend, refusal: Refusal): void;
  /** `pid` undefined: it did not come to a process. `ending`: the broker's own end cut it short. */
  launchFailed(key: BackendKey, failure: { pid: number | undefined; error: unknown; ending: boolean }): void;
  backend(transition: Transition): void;
  /** `delayMs`: until the next launch may begin. */
  crashed(key: BackendKey, pid: number, crash: Crash, crashes: number, delayMs: number): void;
  /** `changes` undefined: it is the first this broker sees of it. */
  definition(definition: ServiceDefinition, changes: readonly DefinitionDifference[] | undefined): void;
  logFault(key: BackendKey, path: string, fault: string): void;
  logDropped(key: BackendKey, path: string, dropped: DroppedOutput): void;
  unrecorded(key: BackendKey, error: unknown): void;
  leftover(endpoint: string, verdict: LeftoverVerdict, evidence: LeftoverEvidence): void;
  reaped(count: number): void;
  /** One that an earlier broker had runs on without this one. */
  notAdopted(key: BackendKey, pid: number, error: unknown): void;
}

export function createBackendEvents(clock: Clock, emit: (event: BrokerEvent) => void): BackendEvents {
  const history = createLaunchHistory(clock);
  return {
    launching: (key, askedBy) => {
      const reason = history.launching(key, askedBy);
      emit({
        type: "backend-launching",
        level: "info",
        message: `launching ${keyName(key)} ${reason}`,
        ...key,
        reason,
      });
    },
    notLaunchedAhead: ({ service, version }, { code, reason }) =>
      emit({
        type: "backend-not-launched",
        level: "warn",
        message: `${service} ${version} is not launched as the broker starts: ${reason}`,
        service,
        version,
        code,
        reason,
      }),
    launchFailed: (key, { pid, error, ending }) => {
      const reason = ending ? "the broker ended meanwhile" : withLastWords(error);
      history.launchFailed(key, reason);
      emit({
        type: "backend-launch-failed",
        level: ending ? "info" : "warn",
        message: `launch of ${keyName(key)} failed: ${reason}`,
        ...key,
        ...(pid !== undefined && { pid }),
        code: ending ? "SHUTTING_DOWN" : isBrokerError(error) ? error.code : "INTERNAL",
        reason,
      });
    },
    backend: (transition) => {
      const { key, pid, event, from, to, exit } = transition;
      const { reason, cause } = history.changed(transition);
      emit({
        type: "backend-state",
        level: to === "failed" ? "warn" : "info",
        message: `${keyName(key)}: ${from} -> ${to} (${event})`,
        ...key,
        pid,
        event,
        from,
        to,
        reason,
        cause,
        ...(exit !== undefined && { exit_code: exit.code, exit_signal: exit.signal }),
      });
    },
    crashed: (key, pid, crash, crashes, delayMs) =>
      emit({
        type: "backend-crashed",
        level: "warn",
        message: `${keyName(key)} ended by itself (${crash.exit}), number ${crashes} in this window; the next client launches it again${delayMs > 0 ? ` after ${delayMs} ms` : ""}`,
        ...key,
        pid,
        exit: crash.exit,
        log_tail: crash.logTail,
        crashes,
        delay_ms: delayMs,
      }),
    definition: ({ serviceName, binaryPath }, changes) => {
      // Names only: values of exec.env may be secrets.
      const reason =
        changes === undefined ? `binary ${binaryPath}` : `changed: ${changes.map(({ field }) => field).join(", ")}`;
      emit({
        type: changes === undefined ? "definition-loaded" : "definition-changed",
        level: changes === undefined ? "debug" : "info",
        message: `definition of ${serviceName}: ${reason}`,
        service: serviceName,
        reason,
      });
    },
    logFault: (key, path, fault) =>
      emit({
        type: "backend-log-unavailable",
        level: "warn",
        message: `no log for ${keyName(key)}: ${fault}, ignoring`,
        ...key,
        path,
        fault,
      }),
    logDropped: (key, path, { bytes, fault }) =>
      emit({
        type: "backend-log-dropped",
        level: "warn",
        message: `${keyName(key)} writes more than its log may hold: ${bytes} bytes dropped${fault === undefined ? "" : ` (${fault})`}`,
        ...key,
        path,
        bytes,
        ...(fault !== undefined && { fault }),
      }),
    unrecorded: (key, error) =>
      emit({
        type: "backend-unrecorded",
        level: "warn",
        message: `${keyName(key)} could not be written down for the next broker: ${reasonOf(error)}, ignoring`,
        ...key,
        error: reasonOf(error),
      }),
    leftover: (endpoint, verdict, evidence) =>
      emit({
        type: "backend-found",
        level: "info",
        message: `an earlier broker's backend at ${endpoint}: ${verdict}`,
        endpoint,
        verdict,
        record: evidence.record,
        same_boot: evidence.sameBoot,
        process: evidence.process,
        proof: evidence.proof,
      }),
    reaped: (count) =>
      emit({
        type: "launches-reaped",
        level: "warn",
        message: `${count} launches of an earlier broker were interrupted; what they left was removed`,
        count,
      }),

    notAdopted: (key, pid, error) =>
      emit({
        type: "backend-not-adopted",
        level: "error",
        message: `${keyName(key)} runs as process ${pid} and could not be taken over: ${reasonOf(error)}`,
        ...key,
        pid,
        error: reasonOf(error),
      }),
  };
}

const LAST_WORDS_CHARS = 160;

/** The reason, and the last line the backend said. */
function withLastWords(error: unknown): string {
  const tail = isBrokerError(error) ? (error.details.logTail ?? "") : "";
  const line = tail.slice(tail.lastIndexOf("\n") + 1).slice(-LAST_WORDS_CHARS);
  return line === "" ? reasonOf(error) : `${reasonOf(error)}; last output: ${line}`;
}
