/** What the broker tells about itself: one function per kind, so that names, levels and fields stay in one place. */
import type { Clock } from "../base/clock.ts";
import { isBrokerError, reasonOf } from "../base/errors.ts";
import type { LeftoverEvidence, LeftoverVerdict } from "../model/classify-leftover.ts";
import type { DefinitionDifference } from "../model/definition-differences.ts";
import { FALLBACK_REASONS, type FallbackReason } from "../model/handoff-policy.ts";
import { shortened } from "../model/names.ts";
import type { Refusal } from "../model/refusal.ts";
import type { ServiceDefinition } from "../model/service-definition.ts";
import type { BrokerEvent, CloseReason } from "./broker-event.ts";
import { createLaunchHistory, type Transition } from "./launch-history.ts";
import type { BackendKey } from "./launcher.ts";
import type { WantedBackend } from "./options.ts";
import type { Asker, ConnectionOutcome, Crash, DroppedOutput, HandoffReport, RestartReport } from "./reports.ts";

export interface BrokerEvents {
  /** `from`: it took the place of another process. */
  started(endpoint: string, instance: string, from?: { backends: number }): void;
  restarting(): void;
  /** `gone`: this process is not the broker any more. */
  restartFailed(error: unknown, gone: boolean): void;
  restarted(report: RestartReport): void;
  stopping(reason: CloseReason): void;
  stopped(reason: CloseReason, backendPids: readonly number[]): void;
  connection(outcome: ConnectionOutcome): void;
  launching(key: BackendKey, askedBy: Asker): void;
  /** What the broker was told to launch as it starts, and why it does not. */
  notLaunchedAhead(wanted: WantedBackend, refusal: Refusal): void;
  /** `pid` undefined: it did not come to a process. `ending`: the broker's own end cut it short. */
  launchFailed(key: BackendKey, failure: { pid: number | undefined; error: unknown; ending: boolean }): void;
  backend(transition: Transition): void;
  handoff(report: HandoffReport): void;
  handoffSkipped(key: BackendKey, reason: FallbackReason): void;
  /** `changes` undefined: it is the first this broker sees of it. */
  definition(definition: ServiceDefinition, changes: readonly DefinitionDifference[] | undefined): void;
  logFault(key: BackendKey, path: string, fault: string): void;
  logDropped(key: BackendKey, path: string, dropped: DroppedOutput): void;
  acceptFailed(errno: string): void;
  fdExhausted(errno: string): void;
  fdRecovered(): void;
  rebound(endpoint: string): void;
  lostEndpoint(endpoint: string, reason: string): void;
  reaped(count: number): void;
  /** `delayMs`: until the next launch may begin. */
  crashed(key: BackendKey, pid: number, crash: Crash, crashes: number, delayMs: number): void;
  leftover(endpoint: string, verdict: LeftoverVerdict, evidence: LeftoverEvidence): void;
  unrecorded(key: BackendKey, error: unknown): void;
  /** One that an earlier broker had runs on without this one. */
  notAdopted(key: BackendKey, pid: number, error: unknown): void;
  /** Something of a change of process that has happened, and does not depend on it. */
  restartFault(step: string, error: unknown): void;
  swept(count: number): void;
  leftoversUnread(directory: string, error: unknown): void;
  lifecycleFault(path: string, fault: string): void;
  lifecycleResumed(path: string, lost: number): void;
}

export function createBrokerEvents(clock: Clock, emit: (event: BrokerEvent) => void): BrokerEvents {
  const history = createLaunchHistory(clock);
  return {
    started: (endpoint, instance, from) =>
      emit({
        type: "broker-started",
        level: "info",
        message: `serving ${instance} at ${endpoint}${from ? `, taken over with ${from.backends} backends` : ""}`,
        endpoint,
        instance,
      }),
    restarting: () =>
      emit({ type: "broker-restarting", level: "info", message: "a new process is to take this one's place" }),
    restartFailed: (error, gone) =>
      emit({
        type: "broker-restart-failed",
        level: "error",
        message: `restart failed${gone ? "" : ", this process goes on"}: ${reasonOf(error)}`,
        code: isBrokerError(error) ? error.code : "INTERNAL",
        reason: reasonOf(error),
      }),
    restarted: ({ pid, version, backends, switchMs }) =>
      emit({
        type: "broker-restarted",
        level: "info",
        message: `process ${pid} (version ${version}) has taken over, with ${backends} backends`,
        pid,
        switch_ms: Math.round(switchMs),
      }),
    stopping: (reason) => emit({ type: "broker-stopping", level: "info", message: `stopping (${reason})`, reason }),
    stopped: (reason, backendPids) =>
      emit({
        type: "broker-stopped",
        level: "info",
        message: `stopped (${reason})${backendPids.length > 0 ? `, ${backendPids.length} backends keep running` : ""}`,
        reason,
        backend_pids: backendPids,
      }),
    connection: (outcome) => emitConnection(emit, outcome),
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
    handoff: (report) => emitHandoff(emit, report),
    handoffSkipped: (key, reason) => {
      // Nothing was offered, so nothing was lost.
      if (reason === "client-unsupported") return;
      emit({
        type: "handoff-skipped",
        level: "debug",
        message: `no handoff to ${keyName(key)}: ${reason}`,
        ...key,
        code: reason,
        reason: FALLBACK_REASONS[reason].about,
      });
    },
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
    acceptFailed: (errno) =>
      emit({ type: "accept-failed", level: "warn", message: `accept failed: ${errno}, ignoring`, errno }),
    fdExhausted: (errno) =>
      emit({
        type: "fd-pressure",
        level: "warn",
        message: `out of file descriptors (${errno}); Hellos are refused until accepting works again`,
        errno,
      }),
    fdRecovered: () =>
      emit({ type: "fd-pressure-over", level: "info", message: "file descriptors are available again" }),
    rebound: (endpoint) =>
      emit({
        type: "endpoint-rebound",
        level: "warn",
        message: `the socket at ${endpoint} had been removed; bound again`,
        endpoint,
      }),
    lostEndpoint: (endpoint, reason) =>
      emit({
        type: "endpoint-lost",
        level: "error",
        message: `cannot serve ${endpoint} any more: ${reason}`,
        endpoint,
        reason,
      }),
    lifecycleFault: (path, fault) =>
      emit({
        type: "lifecycle-log-unavailable",
        level: "warn",
        message: `events cannot be recorded: ${fault}, retrying at each event`,
        path,
        fault,
      }),
    lifecycleResumed: (path, lost) =>
      emit({
        type: "lifecycle-log-resumed",
        level: "info",
        message: `events are recorded again; ${lost} before this one could not be`,
        path,
        lost,
      }),
    swept: (count) =>
      emit({
        type: "endpoints-swept",
        level: "info",
        message: `removed ${count} sockets of backends that are gone`,
        count,
      }),
    leftoversUnread: (directory, error) =>
      emit({
        type: "leftovers-unread",
        level: "error",
        message: `backends that run cannot be found in ${directory}: ${reasonOf(error)}`,
        path: directory,
        reason: reasonOf(error),
      }),
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
    unrecorded: (key, error) =>
      emit({
        type: "backend-unrecorded",
        level: "warn",
        message: `${keyName(key)} could not be written down for the next broker: ${reasonOf(error)}, ignoring`,
        ...key,
        error: reasonOf(error),
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
    restartFault: (step, error) =>
      emit({
        type: "broker-restart-fault",
        level: "error",
        message: `${step} failed after the change of process: ${reasonOf(error)}, ignoring`,
        step,
        error: reasonOf(error),
      }),
    reaped: (count) =>
      emit({
        type: "launches-reaped",
        level: "warn",
        message: `${count} launches of an earlier broker were interrupted; what they left was removed`,
        count,
      }),
  };
}

/** Of a backend's own words. */
const DETAIL_CHARS = 256;

/** What completes is the rule and stays quiet; what falls back names its stage and reason. */
function emitHandoff(
  emit: (event: BrokerEvent) => void,
  { key, connectionId, direct, outcome, micros }: HandoffReport,
): void {
  const mode = direct ? "direct" : "v1";
  // Of the rule there is one for each connection: written out, because copying fields costs more than all the rest.
  if (outcome.kind === "completed") {
    emit({
      type: "handoff-completed",
      level: "debug",
      message: `handed a connection to ${keyName(key)} in ${micros} us`,
      instanceId: key.instanceId,
      service: key.service,
      version: key.version,
      connection_id: connectionId.toString(),
      mode,
      micros,
    });
    return;
  }
  const { stage, reason, backend, severed } = outcome;
  const detail = shortened(outcome.detail, DETAIL_CHARS);
  emit({
    type: "handoff-fallback",
    level: "info",
    message: `handoff fallback: ${keyName(key)}, ${stage}: ${detail}`,
    ...key,
    connection_id: connectionId.toString(),
    mode,
    micros,
    stage,
    code: reason,
    reason,
    backend,
    severed,
    detail,
  });
}

function emitConnection(emit: (event: BrokerEvent) => void, outcome: ConnectionOutcome): void {
  switch (outcome.type) {
    case "peer-rejected":
      return emit({
        type: "peer-rejected",
        level: "warn",
        message: `dropped a peer that is not us: pid ${outcome.pid}, uid ${outcome.identity}`,
        pid: outcome.pid,
        identity: outcome.identity,
      });
    case "unreadable":
      return emit({
        type: "request-refused",
        level: "debug",
        message: `refused pid ${outcome.pid}: ${outcome.refusal.reason}`,
        pid: outcome.pid,
        code: outcome.refusal.code,
        reason: outcome.refusal.reason,
      });
    case "admin":
      return emit({
        type: "admin-served",
        level: "debug",
        message: `served an admin verb to pid ${outcome.pid}`,
        pid: outcome.pid,
      });
    case "attach":
      return emit({
        type: outcome.kept ? "control-attached" : "control-refused",
        level: outcome.kept ? "info" : "warn",
        message: outcome.kept
          ? `pid ${outcome.pid} has its control channel back`
          : `refused a control channel to pid ${outcome.pid}, which is no backend of this broker`,
        pid: outcome.pid,
      });
    case "dropped":
      return emit({
        type: "connection-dropped",
        level: "debug",
        message: `connection ended early: ${reasonOf(outcome.error)}`,
        error: reasonOf(outcome.error),
      });
    case "hello": {
      const { service, version, pid, refusal, connectionId, given } = outcome;
      const connection_id = connectionId.toString();
      const request_id = outcome.requestId.toString();
      if (refusal === undefined)
        return emit({
          type: "hello-accepted",
          level: "debug",
          message: `${service} ${version} for pid ${pid}`,
          service,
          version,
          pid,
          connection_id,
          request_id,
          how: given?.how,
          backend_pid: given?.pid,
        });
      // What was refused need not be a name.
      const asked = { service: shortened(service), version: shortened(version) };
      return emit({
        type: "hello-refused",
        level: "info",
        message: `refused ${asked.service} ${asked.version} to pid ${pid}: ${refusal.reason}`,
        ...asked,
        pid,
        connection_id,
        code: refusal.code,
        reason: refusal.reason,
      });
    }
  }
}

const LAST_WORDS_CHARS = 160;

/** The reason, and the last line the backend said. */
function withLastWords(error: unknown): string {
  const tail = isBrokerError(error) ? (error.details.logTail ?? "") : "";
  const line = tail.slice(tail.lastIndexOf("\n") + 1).slice(-LAST_WORDS_CHARS);
  return line === "" ? reasonOf(error) : `${reasonOf(error)}; last output: ${line}`;
}

function keyName(key: BackendKey): string {
  return `${key.service} ${key.version}`;
}
