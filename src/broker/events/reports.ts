/** What parts of the broker report of their work; `events.ts` makes what is said of it. */

import type { BackendKey } from "../../model/backend-key.ts";
import type { HandoffOutcome, UnixStage } from "../../model/handoff-stages.ts";
import type { Refusal } from "../../model/refusal.ts";

/** Whose Hello began a launch: a pid, 0 when the kernel cannot name it; `start` when no Hello did, but the broker's start. */
export type Asker = number | "start";

/** A running one was found; it was launched for this Hello; another Hello's launch was waited for. */
export type ActivationHow = "reused" | "launched" | "joined";

/** What a Hello got. */
export interface Given {
  readonly key: BackendKey;
  readonly how: ActivationHow;
  readonly pid: number;
}

/** How a connection ended, for events and counters. */
export type ConnectionOutcome =
  | { readonly type: "peer-rejected"; readonly pid: number; readonly identity: string }
  | {
      readonly type: "hello";
      readonly service: string;
      readonly version: string;
      readonly pid: number;
      readonly refusal: Refusal | undefined;
      readonly connectionId: bigint;
      /** From the complete request to its reply. */
      readonly durationMs: number;
      readonly requestId: bigint;
      /** Undefined when it was refused. */
      readonly given: Given | undefined;
    }
  | { readonly type: "unreadable"; readonly pid: number; readonly refusal: Refusal }
  | { readonly type: "admin"; readonly pid: number }
  | { readonly type: "attach"; readonly pid: number; readonly kept: boolean }
  | { readonly type: "dropped"; readonly error: unknown };

export interface HandoffReport {
  readonly key: BackendKey;
  readonly connectionId: bigint;
  readonly direct: boolean;
  readonly outcome: HandoffOutcome<UnixStage>;
  readonly micros: number;
}

/** How a backend that was running ended although the broker had not asked it to. */
export interface Crash {
  /** `status 3`, `signal SIGSEGV`; `unknown` for an adopted one. */
  readonly exit: string;
  /** Its last lines. */
  readonly logTail: string;
}

/** Bytes that went beyond the limit since the last report. */
export interface DroppedOutput {
  readonly bytes: number;
  /** Why there is no older file. */
  readonly fault: string | undefined;
}

export interface RestartReport {
  readonly pid: number;
  /** Of the new process's package. */
  readonly version: string;
  /** Backends that were handed over. */
  readonly backends: number;
  readonly durationMs: number;
  /** Of that, how long nothing was accepted. */
  readonly switchMs: number;
}
