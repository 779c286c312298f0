/** What the broker tells about itself: one function per kind, so that names, levels and fields stay in one place. */
import { reasonOf } from "../base/errors.ts";
import type { BackendEvent, BackendState } from "../model/backend-state.ts";
import type { LeftoverEvidence, LeftoverVerdict } from "../model/classify-leftover.ts";
import type { ExitStatus } from "../platform/ports.ts";
import type { Crash } from "./backend.ts";
import type { HandoffReport } from "./handoff.ts";
import type { BackendKey } from "./launcher.ts";
import type { BrokerEvent, CloseReason } from "./options.ts";
import type { ConnectionOutcome } from "./serve-connection.ts";

export interface BrokerEvents {
  started(endpoint: string, instance: string): void;
  stopping(reason: CloseReason): void;
  stopped(reason: CloseReason, backendPids: readonly number[]): void;
  connection(outcome: ConnectionOutcome): void;
  launching(key: BackendKey): void;
  backend(
    key: BackendKey,
    pid: number,
    event: BackendEvent,
    from: BackendState,
    to: BackendState,
    exit: ExitStatus | undefined,
  ): void;
  handoff(report: HandoffReport): void;
  logFault(key: BackendKey, path: string, fault: string): void;
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
  swept(count: number): void;
}

export function createBrokerEvents(emit: (event: BrokerEvent) => void): BrokerEvents {
  return {
    started: (endpoint, instance) =>
      emit({
        type: "broker-started",
        level: "info",
        message: `serving ${instance} at ${endpoint}`,
        endpoint,
        instance,
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
    launching: (key) =>
      emit({ type: "backend-launching", level: "info", message: `launching ${keyName(key)}`, ...key }),
    backend: (key, pid, event, from, to, exit) =>
      emit({
        type: "backend-state",
        level: to === "failed" ? "warn" : "info",
        message: `${keyName(key)}: ${from} -> ${to} (${event})`,
        ...key,
        pid,
        event,
        from,
        to,
        ...(exit !== undefined && { exit_code: exit.code, exit_signal: exit.signal }),
      }),
    handoff: (report) => emitHandoff(emit, report),
    logFault: (key, path, fault) =>
      emit({
        type: "backend-log-unavailable",
        level: "warn",
        message: `no log for ${keyName(key)}: ${fault}, ignoring`,
        ...key,
        path,
        fault,
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
    swept: (count) =>
      emit({
        type: "endpoints-swept",
        level: "info",
        message: `removed ${count} sockets of backends that are gone`,
        count,
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
    reaped: (count) =>
      emit({
        type: "launches-reaped",
        level: "warn",
        message: `${count} launches of an earlier broker were interrupted; what they left was removed`,
        count,
      }),
  };
}

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
  const { stage, reason, backend, severed, detail } = outcome;
  emit({
    type: "handoff-fallback",
    level: "info",
    message: `handoff fallback: ${keyName(key)}, ${stage}: ${detail}`,
    ...key,
    connection_id: connectionId.toString(),
    mode,
    micros,
    stage,
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
    case "dropped":
      return emit({
        type: "connection-dropped",
        level: "debug",
        message: `connection ended early: ${reasonOf(outcome.error)}`,
        error: reasonOf(outcome.error),
      });
    case "hello": {
      const { service, version, pid, refusal, connectionId } = outcome;
      const connection_id = connectionId.toString();
      if (refusal === undefined)
        return emit({
          type: "hello-accepted",
          level: "debug",
          message: `${service} ${version} for pid ${pid}`,
          service,
          version,
          pid,
          connection_id,
        });
      return emit({
        type: "hello-refused",
        level: "info",
        message: `refused ${service} ${version} to pid ${pid}: ${refusal.reason}`,
        service,
        version,
        pid,
        connection_id,
        code: refusal.code,
        reason: refusal.reason,
      });
    }
  }
}

function keyName(key: BackendKey): string {
  return `${key.service} ${key.version}`;
}
