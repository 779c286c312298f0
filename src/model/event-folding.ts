/**
 * Keeps a record of events readable under load: of events that are alike the first ones are let through, after that one
 * in a while, which stands for all since. None goes uncounted.
 */

export interface FoldingRule {
  /** How many pass at once. */
  readonly burst: number;
  /** How long until one more may; also how long those that did not pass are held before they are told as one. */
  readonly refillMs: number;
}

export interface Folded<T> {
  /** The latest of them. */
  readonly value: T;
  /** How many it stands for, 1 or more. */
  readonly count: number;
}

export interface EventFolding<T> {
  /** True: it passes. False: it is held and will come out of `due`. `key` says what is alike, `group` what is nearly. */
  offer(event: { key: string; group: () => string; value: T }, nowMs: number): boolean;
  /** Takes what has been held long enough, with `all` everything. */
  due(nowMs: number, all?: boolean): Folded<T>[];
  /** When `due` will have something; undefined while nothing is held. Monotonic. */
  nextMs(): number | undefined;
}

/** What is alike is told apart up to so many kinds at a time; beyond, what is nearly alike is folded together. */
const MAX_KEYS = 128;

interface Bucket<T> {
  credits: number;
  sinceMs: number;
  held: Folded<T> | undefined;
  dueMs: number;
}

export function createEventFolding<T>(rule: FoldingRule): EventFolding<T> {
  const alike = new Map<string, Bucket<T>>();
  const nearlyAlike = new Map<string, Bucket<T>>();
  let soonestMs: number | undefined;

  const isFull = (): boolean => alike.size + nearlyAlike.size >= MAX_KEYS;
  const bucketIn = (buckets: Map<string, Bucket<T>>, key: string, nowMs: number): Bucket<T> => {
    const found = buckets.get(key);
    if (found !== undefined) return refill(found, rule, nowMs);
    const bucket: Bucket<T> = { credits: rule.burst, sinceMs: nowMs, held: undefined, dueMs: 0 };
    buckets.set(key, bucket);
    return bucket;
  };
  const bucketOf = (key: string, group: () => string, nowMs: number): Bucket<T> => {
    if (alike.has(key) || !isFull()) return bucketIn(alike, key, nowMs);
    for (const buckets of [alike, nearlyAlike])
      for (const [name, bucket] of buckets) if (isIdle(refill(bucket, rule, nowMs), rule)) buckets.delete(name);
    return isFull() ? bucketIn(nearlyAlike, group(), nowMs) : bucketIn(alike, key, nowMs);
  };

  return {
    offer({ key, group, value }, nowMs) {
      const bucket = bucketOf(key, group, nowMs);
      if (bucket.held === undefined && bucket.credits > 0) {
        if (bucket.credits === rule.burst) bucket.sinceMs = nowMs;
        bucket.credits--;
        return true;
      }
      if (bucket.held === undefined) bucket.dueMs = nowMs + rule.refillMs;
      soonestMs ??= bucket.dueMs;
      bucket.held = { value, count: (bucket.held?.count ?? 0) + 1 };
      return false;
    },
    due(nowMs, all = false) {
      const told: Folded<T>[] = [];
      soonestMs = undefined;
      for (const bucket of [...alike.values(), ...nearlyAlike.values()]) {
        if (bucket.held === undefined) continue;
        if (!all && bucket.dueMs > nowMs) {
          soonestMs = Math.min(soonestMs ?? bucket.dueMs, bucket.dueMs);
          continue;
        }
        told.push(bucket.held);
        bucket.held = undefined;
        // Telling them took what had been refilled meanwhile.
        bucket.credits = 0;
        bucket.sinceMs = nowMs;
      }
      return told;
    },
    nextMs: () => soonestMs,
  };
}

function refill<T>(bucket: Bucket<T>, rule: FoldingRule, nowMs: number): Bucket<T> {
  const earned = Math.floor((nowMs - bucket.sinceMs) / rule.refillMs);
  if (earned > 0) {
    bucket.credits = Math.min(rule.burst, bucket.credits + earned);
    bucket.sinceMs += earned * rule.refillMs;
  }
  return bucket;
}

function isIdle<T>(bucket: Bucket<T>, rule: FoldingRule): boolean {
  return bucket.held === undefined && bucket.credits >= rule.burst;
}
