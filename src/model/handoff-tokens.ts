/**
 * One-time tokens of handoffs (spec: handoff §3, §11). The broker issues one with each Negotiated that announces a
 * handoff and revokes it when anything goes wrong; a backend lets a token in once. A token is usable from its issue
 * until just before its time to live is over.
 */
import { equalTokens, HANDOFF_TOKEN_BYTES } from "../wire/handoff.ts";

/** Tokens that may be pending at once. Frozen. */
export const MAX_PENDING_TOKENS = 1024;
/** Frozen. */
export const TOKEN_TTL_MS = 30_000;
/** Draws before a random source that repeats itself is given up. Frozen. */
const COLLISION_ATTEMPTS = 16;
/** Accepted tokens a backend remembers, and for how long: twice the time in which a broker could use one again. */
export const MAX_REMEMBERED_TOKENS = 4096;
export const REMEMBERED_MS = 2 * TOKEN_TTL_MS;

const REDACTED = "[redacted]";

/** Sixteen secret bytes that do not show in any text, JSON or debugger output made from them. */
export class HandoffToken {
  readonly #bytes: Buffer;
  readonly #key: string;

  private constructor(bytes: Buffer) {
    this.#bytes = bytes;
    this.#key = bytes.toString("latin1");
  }

  /** Copies `bytes`; undefined unless there are 16 of them. */
  static from(bytes: Uint8Array): HandoffToken | undefined {
    return bytes.length === HANDOFF_TOKEN_BYTES ? new HandoffToken(Buffer.from(bytes)) : undefined;
  }

  /** The bytes themselves, for the wire only; not to be changed. */
  reveal(): Buffer {
    return this.#bytes;
  }

  /** Equal for equal tokens: for maps, and as secret as the token. */
  key(): string {
    return this.#key;
  }

  equals(presented: Uint8Array): boolean {
    return equalTokens(this.#bytes, presented);
  }

  toString(): string {
    return REDACTED;
  }

  toJSON(): string {
    return REDACTED;
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return REDACTED;
  }
}

export type IssueResult =
  | { readonly ok: true; readonly token: HandoffToken }
  | { readonly ok: false; readonly reason: "pending-limit" | "collision" | "random-source" };

export type ConsumeResult =
  | { readonly ok: true }
  | { readonly ok: false; readonly reason: "not-pending" | "expired" | "mismatch" };

/** Times are monotonic milliseconds and must not go back. */
export interface HandoffTokenStore {
  /** A new pending token. What is refused here costs a client nothing: it is answered without a token. */
  issue(nowMs: number): IssueResult;
  /** Makes a token pending that somebody else issued. False when it is pending already or the store is full. */
  admit(token: HandoffToken, nowMs: number): boolean;
  /** Uses `expected` up when `presented` equals it; a mismatch leaves it pending. */
  consume(expected: HandoffToken, presented: Uint8Array, nowMs: number): ConsumeResult;
  /** True when it was pending. */
  revoke(token: HandoffToken): boolean;
  /** How many tokens could be consumed now. */
  pending(nowMs: number): number;
}

export interface TokenStoreOptions {
  /** From the system's random source. */
  readonly randomBytes: (length: number) => Uint8Array;
  readonly capacity?: number;
  readonly ttlMs?: number;
  readonly collisionAttempts?: number;
}

export function createHandoffTokenStore(options: TokenStoreOptions): HandoffTokenStore {
  const attempts = Math.max(1, options.collisionAttempts ?? COLLISION_ATTEMPTS);
  const known = createExpiringSet(options.capacity ?? MAX_PENDING_TOKENS, options.ttlMs ?? TOKEN_TTL_MS);
  const draw = (): HandoffToken | undefined => {
    try {
      return HandoffToken.from(options.randomBytes(HANDOFF_TOKEN_BYTES));
    } catch {
      return undefined;
    }
  };
  return {
    issue(nowMs) {
      if (known.full(nowMs)) return { ok: false, reason: "pending-limit" };
      for (let attempt = 0; attempt < attempts; attempt++) {
        const token = draw();
        if (token === undefined) return { ok: false, reason: "random-source" };
        if (known.state(token, nowMs) !== "absent") continue;
        known.add(token, nowMs);
        return { ok: true, token };
      }
      return { ok: false, reason: "collision" };
    },
    admit(token, nowMs) {
      if (known.full(nowMs) || known.state(token, nowMs) !== "absent") return false;
      known.add(token, nowMs);
      return true;
    },
    consume(expected, presented, nowMs) {
      const state = known.state(expected, nowMs);
      known.prune(nowMs);
      if (state === "absent") return { ok: false, reason: "not-pending" };
      if (state === "expired") return { ok: false, reason: "expired" };
      if (!expected.equals(presented)) return { ok: false, reason: "mismatch" };
      known.remove(expected);
      return { ok: true };
    },
    revoke: (token) => known.remove(token),
    pending: (nowMs) => known.prune(nowMs),
  };
}

export type TokenRejection = "missing" | "invalid-length" | "not-pending" | "expired" | "mismatch";

/** `errorDetail` is the frozen text for the acknowledgement. */
export type TokenVerdict =
  | { readonly accepted: true }
  | { readonly accepted: false; readonly reason: TokenRejection; readonly errorDetail: string };

const REJECTION_TEXT: Readonly<Record<TokenRejection, (lengthBytes: number) => string>> = {
  missing: () => "handoff token is missing",
  "invalid-length": (length) => `handoff token length was ${length} bytes; expected ${HANDOFF_TOKEN_BYTES}`,
  "not-pending": () => "handoff token is not pending",
  expired: () => "handoff token expired",
  mismatch: () => "handoff token mismatch",
};

/** A backend's judgement of an offered token when it knows which one to expect. Only acceptance uses the token up. */
export function acceptExpectedToken(
  store: Pick<HandoffTokenStore, "consume">,
  expected: HandoffToken,
  presented: Uint8Array,
  nowMs: number,
): TokenVerdict {
  const malformed = lengthFault(presented);
  if (malformed !== undefined) return rejected(malformed, presented);
  const consumed = store.consume(expected, presented, nowMs);
  return consumed.ok ? { accepted: true } : rejected(consumed.reason, presented);
}

/**
 * A backend's judgement when it does not know which token to expect, as with the reference's broker: whoever reaches the
 * handoff endpoint is trusted to offer, and each token is let in once.
 */
export interface TokenMemory {
  accept(presented: Uint8Array, nowMs: number): TokenVerdict;
  /** How many accepted tokens are remembered now. */
  remembered(nowMs: number): number;
}

/** When the memory is full the oldest token is forgotten: memory stays bounded and no handoff is turned away for it. */
export function createTokenMemory(options: { capacity?: number; ttlMs?: number } = {}): TokenMemory {
  const used = createExpiringSet(options.capacity ?? MAX_REMEMBERED_TOKENS, options.ttlMs ?? REMEMBERED_MS);
  return {
    accept(presented, nowMs) {
      const malformed = lengthFault(presented);
      if (malformed !== undefined) return rejected(malformed, presented);
      const token = HandoffToken.from(presented);
      if (token === undefined || used.state(token, nowMs) === "live") return rejected("not-pending", presented);
      if (used.full(nowMs)) used.removeOldest();
      used.add(token, nowMs);
      return { accepted: true };
    },
    remembered: (nowMs) => used.prune(nowMs),
  };
}

function lengthFault(presented: Uint8Array): TokenRejection | undefined {
  if (presented.length === 0) return "missing";
  return presented.length === HANDOFF_TOKEN_BYTES ? undefined : "invalid-length";
}

function rejected(reason: TokenRejection, presented: Uint8Array): TokenVerdict {
  return { accepted: false, reason, errorDetail: REJECTION_TEXT[reason](presented.length) };
}

/** Tokens with one common lifetime, so that the order of insertion is the order in which they expire. */
function createExpiringSet(wantedCapacity: number, wantedTtlMs: number) {
  const capacity = Math.max(1, wantedCapacity);
  const ttlMs = Math.max(1, wantedTtlMs);
  const expiries = new Map<string, number>();
  const prune = (nowMs: number): number => {
    for (const [key, atMs] of expiries) {
      if (nowMs < atMs) break;
      expiries.delete(key);
    }
    return expiries.size;
  };
  return {
    prune,
    full: (nowMs: number): boolean => prune(nowMs) >= capacity,
    state(token: HandoffToken, nowMs: number): "absent" | "expired" | "live" {
      const atMs = expiries.get(token.key());
      if (atMs === undefined) return "absent";
      return nowMs < atMs ? "live" : "expired";
    },
    add(token: HandoffToken, nowMs: number): void {
      expiries.set(token.key(), nowMs + ttlMs);
    },
    remove: (token: HandoffToken): boolean => expiries.delete(token.key()),
    removeOldest(): void {
      for (const key of expiries.keys()) {
        expiries.delete(key);
        return;
      }
    },
  };
}
