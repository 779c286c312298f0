/**
 * A handoff as data (spec: handoff §6, §10). One table per system says in which order the effects run and what is true
 * when one of them fails; `runHandoff` executes either.
 *
 *     unix:               send      --> await-ack --> acknowledge --> completed
 *     windows:  duplicate --> deliver --> await-ack --> acknowledge --> completed
 *
 * Invariant: at most one owner. A run ends with the backend as owner (completed), with the broker as the only one (a
 * fallback that was not severed), or with the connection shut down for everybody (severed).
 */
import { reasonOf } from "../base/errors.ts";
import type { MaybePromise } from "../base/maybe-promise.ts";
import type { FallbackReason } from "./handoff-policy.ts";

// ------------------------------------------------------------------------------------------------ transport errors

export type UnixTransportError =
  | "permission-denied"
  | "would-block"
  | "backend-socket-unavailable"
  /** Nothing was sent, for another reason. */
  | "send-failed"
  /** The descriptor left with the first bytes; the rest of the message, or of the offer, did not follow. */
  | "sent-in-part"
  | "unsupported-platform";

export type WindowsTransportError =
  | "permission-denied"
  | "cannot-open-backend"
  | "duplicate-failed"
  | "integrity-mismatch"
  | "backend-ack-timeout"
  | "unsupported-platform";

export type TransportError = UnixTransportError | WindowsTransportError;

/** Has the backend, or anything on the way to it, got hold of a duplicate of the connection? */
export type Reach = "not-reached" | "reached";

export interface TransportErrorRow {
  readonly reason: FallbackReason;
  readonly backend: Reach;
}

export const UNIX_TRANSPORT_ERRORS: Readonly<Record<UnixTransportError, TransportErrorRow>> = {
  "permission-denied": { reason: "permission-denied", backend: "not-reached" },
  "would-block": { reason: "backend-ack-timeout", backend: "not-reached" },
  "backend-socket-unavailable": { reason: "backend-ack-timeout", backend: "not-reached" },
  "send-failed": { reason: "backend-ack-timeout", backend: "not-reached" },
  "sent-in-part": { reason: "backend-ack-timeout", backend: "reached" },
  "unsupported-platform": { reason: "service-policy-disabled", backend: "not-reached" },
};

export const WINDOWS_TRANSPORT_ERRORS: Readonly<Record<WindowsTransportError, TransportErrorRow>> = {
  "permission-denied": { reason: "permission-denied", backend: "not-reached" },
  "cannot-open-backend": { reason: "permission-denied", backend: "not-reached" },
  "duplicate-failed": { reason: "permission-denied", backend: "not-reached" },
  "integrity-mismatch": { reason: "integrity-mismatch", backend: "not-reached" },
  "backend-ack-timeout": { reason: "backend-ack-timeout", backend: "reached" },
  "unsupported-platform": { reason: "service-policy-disabled", backend: "not-reached" },
};

const UNIX_ERRNOS: Readonly<Record<"connect" | "send", Readonly<Record<string, UnixTransportError>>>> = {
  connect: {
    EACCES: "permission-denied",
    EPERM: "permission-denied",
    EAGAIN: "would-block",
    EWOULDBLOCK: "would-block",
  },
  send: {
    EACCES: "permission-denied",
    EPERM: "permission-denied",
    EAGAIN: "would-block",
    EWOULDBLOCK: "would-block",
    ECONNREFUSED: "backend-socket-unavailable",
    ECONNRESET: "backend-socket-unavailable",
    EPIPE: "backend-socket-unavailable",
    ENOTCONN: "backend-socket-unavailable",
  },
};

/** `errno`: symbolic name. For a call that sent nothing; a short send is `sent-in-part`, whatever comes after it. */
export function unixTransportError(call: "connect" | "send", errno: string): UnixTransportError {
  const known = UNIX_ERRNOS[call];
  if (Object.hasOwn(known, errno)) return known[errno] ?? "send-failed";
  return call === "connect" ? "backend-socket-unavailable" : "send-failed";
}

const ERROR_ACCESS_DENIED = 5;

/** `code`: what GetLastError said after OpenProcess or DuplicateHandle. */
export function windowsTransportError(call: "open" | "duplicate", code: number): WindowsTransportError {
  if (code === ERROR_ACCESS_DENIED) return "permission-denied";
  return call === "open" ? "cannot-open-backend" : "duplicate-failed";
}

// ------------------------------------------------------------------------------------------------ tables

export interface HandoffStageRow<Stage extends string = string, Effect extends string = string> {
  readonly stage: Stage;
  /** Name of the effect that does it. */
  readonly effect: Effect;
  /** What is true of the backend when this stage fails. */
  readonly backend: Reach | "by-transport-error";
  /** Windows: is a duplicate then left in the backend's handle table? */
  readonly handle: "none" | "leaked";
  readonly reason: FallbackReason | "by-transport-error";
  readonly errors: Readonly<Partial<Record<TransportError, TransportErrorRow>>>;
}

export type UnixStage = "send" | "await-ack" | "acknowledge";
export type UnixEffect = "send" | "awaitAck" | "acknowledge";
export type WindowsStage = "duplicate" | "deliver" | "await-ack" | "acknowledge";
export type WindowsEffect = "duplicate" | "deliver" | "awaitAck" | "acknowledge";

const BY_ERROR = "by-transport-error";
const NO_ACK = { backend: "reached", reason: "backend-ack-timeout", errors: {} } as const;

export const UNIX_HANDOFF: readonly HandoffStageRow<UnixStage, UnixEffect>[] = [
  { stage: "send", effect: "send", backend: BY_ERROR, handle: "none", reason: BY_ERROR, errors: UNIX_TRANSPORT_ERRORS },
  { stage: "await-ack", effect: "awaitAck", handle: "none", ...NO_ACK },
  { stage: "acknowledge", effect: "acknowledge", handle: "none", ...NO_ACK },
];

export const WINDOWS_HANDOFF: readonly HandoffStageRow<WindowsStage, WindowsEffect>[] = [
  {
    stage: "duplicate",
    effect: "duplicate",
    backend: BY_ERROR,
    handle: "none",
    reason: BY_ERROR,
    errors: WINDOWS_TRANSPORT_ERRORS,
  },
  { stage: "deliver", effect: "deliver", handle: "leaked", ...NO_ACK },
  { stage: "await-ack", effect: "awaitAck", handle: "leaked", ...NO_ACK },
  { stage: "acknowledge", effect: "acknowledge", handle: "leaked", ...NO_ACK },
];

// ------------------------------------------------------------------------------------------------ running

/**
 * What an effect resolves with. `AckVerdict` and `AcknowledgeResult` fit as they are. An effect that throws has failed
 * without our knowing how far it came, and counts as having reached the backend.
 */
export type StageResult =
  | {
      readonly ok: true;
      /** From `duplicate`: the connection's handle in the backend. */
      readonly handle?: bigint;
      /** From `acknowledge`. */
      readonly waitedMs?: number;
    }
  | {
      readonly ok: false;
      readonly detail: string;
      readonly error?: TransportError;
      /** The backend said no and has closed its duplicate unread. */
      readonly rejected?: true;
    };

export type HandoffEffects<Effect extends string> = {
  /** `handle`: what `duplicate` resolved with; before that, and always on Unix, 0. Deadlines are the effect's business. */
  readonly [E in Effect]: (handle: bigint) => MaybePromise<StageResult>;
} & {
  /** Takes the handoff out of the registry and makes its token useless. Runs on every failure, before `sever`. */
  readonly revoke: () => void;
  /** Shuts the connection down in all its duplicates. Runs exactly when the backend may hold one it did not give back. */
  readonly sever: () => void | Promise<void>;
};

export type HandoffOutcome<Stage extends string> =
  | { readonly kind: "completed"; readonly waitedMs: number }
  | {
      readonly kind: "fallback";
      readonly stage: Stage;
      readonly reason: FallbackReason;
      readonly backend: Reach;
      /** False: the broker is the only owner and may still tell the client. True: the connection is dead. */
      readonly severed: boolean;
      /** A handle in the backend's table that the backend has neither acknowledged nor given back. */
      readonly leakedHandle?: bigint;
      readonly detail: string;
    };

/** Runs the effects in the order of the table until one fails. Never rejects. */
export async function runHandoff<Stage extends string, Effect extends string>(
  table: readonly HandoffStageRow<Stage, Effect>[],
  effects: HandoffEffects<Effect>,
): Promise<HandoffOutcome<Stage>> {
  let handle = 0n;
  let waitedMs = 0;
  for (const row of table) {
    const begun = attempt(() => effects[row.effect](handle));
    const result = begun instanceof Promise ? await begun : begun;
    if (!result.ok) return giveUp(row, effects, result, handle);
    handle = result.handle ?? handle;
    waitedMs = result.waitedMs ?? waitedMs;
  }
  return { kind: "completed", waitedMs };
}

type Failure = Extract<StageResult, { ok: false }>;

async function giveUp<Stage extends string>(
  row: HandoffStageRow<Stage>,
  effects: Pick<HandoffEffects<never>, "revoke" | "sever">,
  failure: Failure,
  handle: bigint,
): Promise<HandoffOutcome<Stage>> {
  const known = failure.error === undefined ? undefined : row.errors[failure.error];
  const backend = row.backend === BY_ERROR ? (known?.backend ?? "reached") : row.backend;
  const severed = backend === "reached" && failure.rejected !== true;
  const details = [failure.detail];
  await tidy("revoke", effects.revoke, details);
  if (severed) await tidy("sever", effects.sever, details);
  return {
    kind: "fallback",
    stage: row.stage,
    reason: row.reason === BY_ERROR ? (known?.reason ?? "backend-ack-timeout") : row.reason,
    backend,
    severed,
    ...(row.handle === "leaked" && severed && { leakedHandle: handle }),
    detail: details.join("; "),
  };
}

function attempt(effect: () => MaybePromise<StageResult>): MaybePromise<StageResult> {
  try {
    const result = effect();
    return result instanceof Promise ? result.catch(thrown) : result;
  } catch (error) {
    return thrown(error);
  }
}

function thrown(error: unknown): StageResult {
  return { ok: false, detail: reasonOf(error) };
}

/** What fails while giving up is told along with why. */
async function tidy(name: string, effect: () => void | Promise<void>, details: string[]): Promise<void> {
  try {
    await effect();
  } catch (error) {
    details.push(`${name} failed: ${reasonOf(error)}`);
  }
}
