/**
 * Book-keeping of one session's requests: which ids wait for a response, and which were given up and may still get
 * one. An id that is neither was never sent or already answered, and the peer that uses it has lost count.
 */
import { BrokerError } from "../base/errors.ts";

/** Requests in flight on one session. Ours: it bounds memory, and a peer that is a thousand answers behind is stuck. */
export const MAX_REQUESTS_IN_FLIGHT = 1024;
/** Given-up ids remembered one by one; older ones are tolerated as a range. */
const MAX_ABANDONED_IDS = 4096;
const LAST_REQUEST_ID = 2n ** 64n - 1n;

export interface PendingRequests<T> {
  readonly size: number;
  /** The next id with `value` waiting for it: 1, 2, … 2^64-1, then 1 again; never 0. @throws BrokerError TOO_MANY_REQUESTS */
  add(value: T): bigint;
  get(id: bigint): T | undefined;
  /** Ends the wait for an answer. `abandoned`: an answer may still come and is then to be ignored. */
  remove(id: bigint, options: { abandoned: boolean }): void;
  /** True once for each given-up id. */
  isLateAnswer(id: bigint): boolean;
  /** Each id that waits, oldest first; a request may be removed meanwhile. */
  all(): Iterable<readonly [bigint, T]>;
  /** Empties the book. */
  takeAll(): T[];
}

/** `firstId` is for tests of the wrap-around. Default 1. */
export function createPendingRequests<T>(options: { firstId?: bigint } = {}): PendingRequests<T> {
  return new RequestBook<T>(options.firstId ?? 1n);
}

class RequestBook<T> implements PendingRequests<T> {
  private readonly waiting = new Map<bigint, T>();
  private readonly abandoned = new Set<bigint>();
  private toleratedUpTo = 0n;

  constructor(private nextId: bigint) {}

  get size(): number {
    return this.waiting.size;
  }

  add(value: T): bigint {
    if (this.waiting.size >= MAX_REQUESTS_IN_FLIGHT) {
      throw new BrokerError(
        "TOO_MANY_REQUESTS",
        `${this.waiting.size} requests are in flight on this session, at most ${MAX_REQUESTS_IN_FLIGHT} are allowed`,
      );
    }
    while (this.waiting.has(this.nextId)) this.advance();
    const id = this.nextId;
    this.advance();
    this.waiting.set(id, value);
    return id;
  }

  get(id: bigint): T | undefined {
    return this.waiting.get(id);
  }

  remove(id: bigint, options: { abandoned: boolean }): void {
    if (!this.waiting.delete(id) || !options.abandoned) return;
    this.abandoned.add(id);
    if (this.abandoned.size <= MAX_ABANDONED_IDS) return;
    const [oldest] = this.abandoned;
    if (oldest === undefined) return;
    this.abandoned.delete(oldest);
    if (oldest > this.toleratedUpTo) this.toleratedUpTo = oldest;
  }

  isLateAnswer(id: bigint): boolean {
    return this.abandoned.delete(id) || (id > 0n && id <= this.toleratedUpTo);
  }

  all(): Iterable<readonly [bigint, T]> {
    return this.waiting;
  }

  takeAll(): T[] {
    const all = [...this.waiting.values()];
    this.waiting.clear();
    return all;
  }

  private advance(): void {
    this.nextId = this.nextId === LAST_REQUEST_ID ? 1n : this.nextId + 1n;
  }
}
