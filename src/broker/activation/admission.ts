/** May a key be launched right now? Counts launches and crashes of each, and delays or refuses what would be a loop. */
import type { Clock } from "../../base/clock.ts";
import { type BackendKey, compareKeys } from "../../model/backend-key.ts";
import { type CrashRow, createRecovery } from "../../model/recovery.ts";
import { type Refusal, refuse } from "../../model/refusal.ts";
import { createSpawnBudget } from "../../model/spawn-budget.ts";
import type { Crash } from "../events/reports.ts";

/** Launches of a key within its current window. */
export interface BudgetRow {
  readonly key: BackendKey;
  readonly attemptsUsed: number;
  readonly remaining: number;
  readonly inFlight: boolean;
  /** Set when nothing remains. */
  readonly retryAfterMs: number | undefined;
}

export interface Admission {
  /** Counts a launch that begins, or says why it may not. */
  begin(key: BackendKey): Refusal | undefined;
  /** How long a launch that may begin waits first, because the ones before it crashed. */
  delayMs(key: BackendKey): number;
  succeeded(key: BackendKey): void;
  /** It did not come to a launch. */
  undo(key: BackendKey): void;
  /** How many crashes that makes in this window. */
  crashed(key: BackendKey, crash: Crash): number;
  /** What comes next is no repetition. */
  forget(key: BackendKey): void;
  /** Keys with launches in their current window, sorted by service, version, instance. */
  budgets(isInFlight: (key: BackendKey) => boolean): readonly BudgetRow[];
  /** What crashed in the last half minute or so. */
  crashes(): readonly CrashRow[];
}

export function createAdmission(clock: Clock): Admission {
  const budget = createSpawnBudget();
  const recovery = createRecovery();
  return {
    begin(key) {
      const nowMs = clock.monotonicMs();
      const waitMs = recovery.refusedMs(key, nowMs);
      // A launch that crashes refuse is not counted.
      const retryAfterMs = waitMs > 0 ? waitMs : budget.begin(key, nowMs);
      if (retryAfterMs === 0) return undefined;
      const crash = recovery.last(key, nowMs);
      const details: Record<string, string> =
        crash === undefined ? {} : { crashes: String(crash.crashes), exit: crash.exit, log_tail: crash.logTail };
      return refuse("RATE_LIMITED", "backend spawn budget exhausted", { retryAfterMs, details });
    },
    delayMs: (key) => recovery.delayMs(key, clock.monotonicMs()),
    succeeded: (key) => budget.succeeded(key),
    undo: (key) => budget.undo(key),
    crashed: (key, crash) =>
      recovery.crashed(key, clock.monotonicMs(), { ...crash, atUnixMs: Math.round(clock.wallMs()) }),
    forget: (key) => recovery.forget(key),
    budgets: (isInFlight) =>
      budget
        .rows(clock.monotonicMs())
        .map(({ key, attemptsUsed, remaining, retryAfterMs }) => ({
          key,
          attemptsUsed,
          remaining,
          inFlight: isInFlight(key),
          retryAfterMs,
        }))
        .sort((a, b) => compareKeys(a.key, b.key)),
    crashes: () => recovery.rows(clock.monotonicMs()),
  };
}
