/**
 * Handoffs that wait for the backend's acknowledgement (spec: handoff §4). The registered deadline decides, not the
 * channel on which the acknowledgement came. Coupled to the token store: once a handoff leaves the registry, however it
 * does, its token is of no use to anybody.
 */
import type { HandoffToken, HandoffTokenStore } from "./handoff-tokens.ts";

/** From registration to acknowledgement. Frozen. */
export const ACK_DEADLINE_MS = 5_000;

export interface PendingHandoff {
  readonly serviceName: string;
  /** 0: unknown. */
  readonly backendPid: number;
}

export type AcknowledgeResult =
  | { readonly ok: true; readonly handoff: PendingHandoff; readonly waitedMs: number }
  | { readonly ok: false; readonly reason: "not-pending" | "deadline-exceeded"; readonly detail: string };

export interface OverdueHandoff {
  readonly token: HandoffToken;
  readonly handoff: PendingHandoff;
  readonly waitedMs: number;
  readonly reason: "backend-ack-timeout";
}

/** Times are monotonic milliseconds and must not go back. */
export interface AckRegistry {
  readonly pending: number;
  /** Starts the deadline; for a token that is registered already, anew. */
  register(token: HandoffToken, handoff: PendingHandoff, nowMs: number): void;
  /** The backend has acknowledged. Whatever the outcome, the token is revoked. */
  acknowledge(token: HandoffToken, nowMs: number): AcknowledgeResult;
  /** Gives a handoff up and revokes its token. False when it was not registered. */
  abandon(token: HandoffToken): boolean;
  /** Takes out and revokes everything whose deadline has come. */
  expireOverdue(nowMs: number): readonly OverdueHandoff[];
  /** When `expireOverdue` is due next, so that one timer serves all; undefined when nothing is pending. */
  nextDeadlineMs(): number | undefined;
}

export function createAckRegistry(options: {
  tokens: Pick<HandoffTokenStore, "revoke">;
  deadlineMs?: number;
}): AckRegistry {
  const deadlineMs = Math.max(1, options.deadlineMs ?? ACK_DEADLINE_MS);
  // One deadline for all: the order of insertion is the order in which they come.
  const entries = new Map<string, { token: HandoffToken; handoff: PendingHandoff; registeredMs: number }>();
  return {
    get pending() {
      return entries.size;
    },
    register(token, handoff, nowMs) {
      entries.delete(token.key());
      entries.set(token.key(), { token, handoff, registeredMs: nowMs });
    },
    acknowledge(token, nowMs) {
      const entry = entries.get(token.key());
      entries.delete(token.key());
      options.tokens.revoke(token);
      if (entry === undefined) return { ok: false, reason: "not-pending", detail: "handoff token is not pending" };
      const waitedMs = nowMs - entry.registeredMs;
      if (waitedMs >= deadlineMs) {
        return {
          ok: false,
          reason: "deadline-exceeded",
          detail: `acknowledged after ${Math.floor(waitedMs)} ms, deadline ${deadlineMs} ms`,
        };
      }
      return { ok: true, handoff: entry.handoff, waitedMs };
    },
    abandon(token) {
      options.tokens.revoke(token);
      return entries.delete(token.key());
    },
    expireOverdue(nowMs) {
      const overdue: OverdueHandoff[] = [];
      for (const [key, { token, handoff, registeredMs }] of entries) {
        const waitedMs = nowMs - registeredMs;
        if (waitedMs < deadlineMs) break;
        entries.delete(key);
        options.tokens.revoke(token);
        overdue.push({ token, handoff, waitedMs, reason: "backend-ack-timeout" });
      }
      return overdue;
    },
    nextDeadlineMs() {
      for (const { registeredMs } of entries.values()) return registeredMs + deadlineMs;
      return undefined;
    },
  };
}
