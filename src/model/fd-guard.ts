/**
 * Behaviour when descriptors run out (spec: server §13): the broker is demoted by the first exhausted accept, refuses
 * Hellos while admin verbs still work, and recovers after three accepts in a row went well; the third is already served.
 */
const RECOVERY_STREAK = 3;
/** Hint for refused Hellos. Frozen. */
export const FD_PRESSURE_RETRY_MS = 1000;
/** How long accepting pauses after an exhausted accept. Frozen. */
export const FD_PRESSURE_PAUSE_MS = 50;

export interface FdGuard {
  readonly demoted: boolean;
  readonly demotions: number;
  readonly refused: number;
  /** An accept failed for want of descriptors. True when this demoted the broker. */
  exhausted(): boolean;
  /** An accept went well. True when this ended a demotion. */
  accepted(): boolean;
  countRefusal(): void;
}

export function createFdGuard(recoveryStreak: number = RECOVERY_STREAK): FdGuard {
  let demoted = false;
  let streak = 0;
  let demotions = 0;
  let refused = 0;
  return {
    get demoted() {
      return demoted;
    },
    get demotions() {
      return demotions;
    },
    get refused() {
      return refused;
    },
    exhausted() {
      streak = 0;
      if (demoted) return false;
      demoted = true;
      demotions++;
      return true;
    },
    accepted() {
      if (!demoted) return false;
      streak++;
      if (streak < recoveryStreak) return false;
      demoted = false;
      streak = 0;
      return true;
    },
    countRefusal() {
      refused++;
    },
  };
}
