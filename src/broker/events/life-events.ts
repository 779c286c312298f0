/** What is said of the broker's own life: its start and end, its address, its restart, its records. */
import { isBrokerError, reasonOf } from "../../base/errors.ts";
import type { BrokerEvent, CloseReason } from "./broker-event.ts";
import type { RestartReport } from "./reports.ts";

export interface LifeEvents {
  /** `from`: it took the place of another process. */
  started(endpoint: string, instance: string, from?: { backends: number }): void;
  restarting(): void;
  /** `gone`: this process is not the broker any more. */
  restartFailed(error: unknown, gone: boolean): void;
  restarted(report: RestartReport): void;
  stopping(reason: CloseReason): void;
  stopped(reason: CloseReason, backendPids: readonly number[]): void;
  acceptFailed(errno: string): void;
  fdExhausted(errno: string): void;
  fdRecovered(): void;
  rebound(endpoint: string): void;
  lostEndpoint(endpoint: string, reason: string): void;
  /** Something of a change of process that has happened, and does not depend on it. */
  restartFault(step: string, error: unknown): void;
  swept(count: number): void;
  leftoversUnread(directory: string, error: unknown): void;
  lifecycleFault(path: string, fault: string): void;
  lifecycleResumed(path: string, lost: number): void;
}

export function createLifeEvents(emit: (event: BrokerEvent) => void): LifeEvents {
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
    restartFault: (step, error) =>
      emit({
        type: "broker-restart-fault",
        level: "error",
        message: `${step} failed after the change of process: ${reasonOf(error)}, ignoring`,
        step,
        error: reasonOf(error),
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
  };
}
