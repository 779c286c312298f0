/** A token, and the store of those that were issued. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, test } from "node:test";
import { format, inspect } from "node:util";
import fc from "fast-check";
import { EMPTY, issue, tokenOf } from "../../test/model/support/handoff-tokens.ts";
import { createHandoffTokenStore, HandoffToken, MAX_PENDING_TOKENS, TOKEN_TTL_MS } from "./handoff-tokens.ts";

describe("a token", () => {
  const bytes = Buffer.from("secretsecretsecr");
  const token = tokenOf(bytes);

  test("does not show in text, JSON or inspection", () => {
    const shown = [
      `${token}`,
      format("%s %o %O %j", token, token, token, token),
      JSON.stringify({ token }),
      inspect({ token }, { showHidden: true, getters: true, depth: 9 }),
      inspect(new Map([[token, [token]]])),
      inspect({ ...token }),
      JSON.stringify(Object.entries(token)),
    ].join("\n");
    for (const leak of ["secret", bytes.toString("hex"), bytes.toString("base64"), "115"])
      assert.ok(!shown.includes(leak), shown);
    for (const text of [`${token}`, inspect(token), format("%o", token), JSON.parse(JSON.stringify(token))])
      assert.equal(text, "[redacted]");
  });

  test("has 16 bytes of its own", () => {
    for (const length of [0, 15, 17]) assert.equal(HandoffToken.from(Buffer.alloc(length)), undefined);
    const source = Buffer.alloc(16, 1);
    const copied = tokenOf(source);
    source.fill(2);
    assert.deepEqual(copied.reveal(), Buffer.alloc(16, 1));
  });

  test("is equal to its bytes and to nothing else", () => {
    assert.ok(token.equals(Buffer.from(bytes)));
    assert.ok(!token.equals(bytes.subarray(1)));
    assert.ok(!token.equals(Buffer.alloc(16)));
    assert.equal(token.key(), tokenOf(bytes).key());
    assert.notEqual(tokenOf(Buffer.alloc(16, 0xff)).key(), tokenOf(Buffer.alloc(16, 0xfe)).key());
  });
});

describe("issuing", () => {
  test("two negotiations: distinct tokens", () => {
    const store = createHandoffTokenStore({ randomBytes });
    assert.ok(!issue(store, 0).equals(issue(store, 0).reveal()));
    assert.equal(store.pending(0), 2);
  });

  test("capacity reached: refused until one is consumed, revoked or expires", () => {
    const store = createHandoffTokenStore({ randomBytes, capacity: 2 });
    const first = issue(store, 0);
    const second = issue(store, 10);
    const full = { ok: false, reason: "pending-limit" };
    assert.deepEqual(store.issue(20), full);
    assert.deepEqual(store.consume(first, first.reveal(), 20), { ok: true });
    issue(store, 20);
    assert.deepEqual(store.issue(20), full);
    assert.ok(store.revoke(second));
    issue(store, 20);
    assert.deepEqual(store.issue(20 + TOKEN_TTL_MS - 1), full);
    issue(store, 20 + TOKEN_TTL_MS);
    assert.equal(store.pending(20 + TOKEN_TTL_MS), 1, "expired ones were pruned");
  });

  test("capacity and time to live are those of the spec", () => {
    const store = createHandoffTokenStore({ randomBytes });
    for (let i = 0; i < MAX_PENDING_TOKENS; i++) issue(store, 0);
    assert.deepEqual([MAX_PENDING_TOKENS, TOKEN_TTL_MS], [1024, 30_000]);
    assert.equal(store.issue(29_999).ok, false);
    assert.equal(store.issue(30_000).ok, true);
  });

  test("a random source that repeats itself is asked 16 times", () => {
    const draws: number[] = [];
    const constant = (length: number): Buffer => {
      draws.push(length);
      return Buffer.alloc(length);
    };
    const store = createHandoffTokenStore({ randomBytes: constant });
    issue(store, 0);
    assert.deepEqual(store.issue(0), { ok: false, reason: "collision" });
    assert.deepEqual(draws, Array(1 + 16).fill(16));
  });

  test("a collision is drawn again", () => {
    const values = [1, 1, 1, 2];
    const store = createHandoffTokenStore({ randomBytes: (length) => Buffer.alloc(length, values.shift() ?? 9) });
    assert.deepEqual(issue(store, 0).reveal(), Buffer.alloc(16, 1));
    assert.deepEqual(issue(store, 0).reveal(), Buffer.alloc(16, 2));
  });

  test("a random source that fails or gives too little issues nothing", () => {
    const failing = (): never => {
      throw new Error("no entropy");
    };
    for (const source of [failing, () => Buffer.alloc(15)]) {
      const store = createHandoffTokenStore({ randomBytes: source });
      assert.deepEqual(store.issue(0), { ok: false, reason: "random-source" });
      assert.equal(store.pending(0), 0);
    }
  });

  test("limits below one count as one", () => {
    const store = createHandoffTokenStore({ randomBytes, capacity: 0, ttlMs: 0 });
    const token = issue(store, 5);
    assert.deepEqual(store.issue(5), { ok: false, reason: "pending-limit" });
    assert.equal(store.pending(5.9), 1);
    assert.deepEqual(store.consume(token, token.reveal(), 6), { ok: false, reason: "expired" });
    assert.ok(createHandoffTokenStore({ randomBytes, collisionAttempts: 0 }).issue(0).ok);
  });

  test("a token of somebody else is admitted once, and only where there is room", () => {
    const store = createHandoffTokenStore({ randomBytes, capacity: 1 });
    const token = tokenOf(Buffer.alloc(16, 7));
    assert.ok(store.admit(token, 0));
    assert.ok(!store.admit(tokenOf(Buffer.alloc(16, 8)), 0), "full");
    const roomy = createHandoffTokenStore({ randomBytes });
    assert.ok(roomy.admit(token, 0));
    assert.ok(!roomy.admit(token, 10), "pending already");
    assert.equal(roomy.pending(TOKEN_TTL_MS), 0, "and its time did not start anew");
  });
});

describe("consuming", () => {
  test("once: the second time it is not pending", () => {
    const store = createHandoffTokenStore({ randomBytes });
    const token = issue(store, 0);
    assert.deepEqual(store.consume(token, token.reveal(), 1), { ok: true });
    assert.deepEqual(store.consume(token, token.reveal(), 1), { ok: false, reason: "not-pending" });
    assert.equal(store.pending(1), 0);
  });

  test("wrong token: not consumed, neither of the two; the correct one still works", () => {
    const store = createHandoffTokenStore({ randomBytes });
    const [expected, other] = [issue(store, 0), issue(store, 0)];
    assert.deepEqual(store.consume(expected, other.reveal(), 1), { ok: false, reason: "mismatch" });
    assert.equal(store.pending(1), 2);
    assert.deepEqual(store.consume(expected, expected.reveal(), 1), { ok: true });
    assert.deepEqual(store.consume(other, other.reveal(), 1), { ok: true });
  });

  test("expired: said once and removed, whatever was presented", () => {
    const store = createHandoffTokenStore({ randomBytes });
    const token = issue(store, 0);
    assert.deepEqual(store.consume(token, EMPTY, TOKEN_TTL_MS), { ok: false, reason: "expired" });
    assert.deepEqual(store.consume(token, token.reveal(), TOKEN_TTL_MS), { ok: false, reason: "not-pending" });
  });

  test("until just before its time is over", () => {
    const store = createHandoffTokenStore({ randomBytes });
    const token = issue(store, 0.5);
    assert.deepEqual(store.consume(token, token.reveal(), TOKEN_TTL_MS + 0.4), { ok: true });
  });

  test("prunes other expired tokens, also when the expected one is unknown", () => {
    const store = createHandoffTokenStore({ randomBytes, capacity: 1 });
    issue(store, 0);
    assert.equal(store.consume(tokenOf(Buffer.alloc(16)), EMPTY, TOKEN_TTL_MS).ok, false);
    assert.equal(store.pending(0), 0);
  });

  test("revoked: not pending; revoking says whether it was", () => {
    const store = createHandoffTokenStore({ randomBytes });
    const token = issue(store, 0);
    assert.equal(store.revoke(token), true);
    assert.equal(store.revoke(token), false);
    assert.deepEqual(store.consume(token, token.reveal(), 0), { ok: false, reason: "not-pending" });
  });
});

test("property: a store never holds more than its capacity, and no token is consumed twice or after it was revoked or expired", () => {
  const operations = fc.array(
    fc.record({
      what: fc.constantFrom("issue", "issue", "issue", "consume", "mismatch", "revoke", "wait", "wait", "count"),
      which: fc.nat(20),
      ms: fc.integer({ min: 0, max: 80 }),
    }),
    { minLength: 20, maxLength: 60 },
  );
  const seen = { consumed: 0, expired: 0, full: 0 };
  fc.assert(
    fc.property(operations, fc.integer({ min: 1, max: 5 }), (steps, capacity) => {
      const store = createHandoffTokenStore({ randomBytes, capacity, ttlMs: 60 });
      // The model: every token ever issued, and until when it may be used.
      const issued: { token: HandoffToken; usableUntilMs: number }[] = [];
      const usable = (nowMs: number): number => issued.filter((entry) => nowMs < entry.usableUntilMs).length;
      let nowMs = 0;
      for (const { what, which, ms } of steps) {
        if (what === "wait") nowMs += ms;
        if (what === "issue") {
          const result = store.issue(nowMs);
          assert.equal(result.ok, usable(nowMs) < capacity);
          if (result.ok) issued.push({ token: result.token, usableUntilMs: nowMs + 60 });
          else seen.full++;
        }
        const entry = issued[which % Math.max(1, issued.length)];
        if (entry === undefined) continue;
        const isUsable = nowMs < entry.usableUntilMs;
        if (what === "revoke") {
          store.revoke(entry.token);
          entry.usableUntilMs = 0;
        }
        if (what === "mismatch") assert.equal(store.consume(entry.token, Buffer.alloc(16), nowMs).ok, false);
        if (what === "consume") {
          const result = store.consume(entry.token, entry.token.reveal(), nowMs);
          assert.equal(result.ok, isUsable);
          entry.usableUntilMs = 0;
          if (result.ok) seen.consumed++;
          else if (result.reason === "expired") seen.expired++;
        }
        // Counting prunes, so it is a step like others: most consumptions meet a store that was not tidied.
        if (what === "count") assert.equal(store.pending(nowMs), usable(nowMs));
      }
      assert.ok(store.pending(nowMs) <= capacity);
      assert.equal(store.pending(nowMs), usable(nowMs));
    }),
    { numRuns: 500 },
  );
  assert.ok(seen.consumed > 50 && seen.full > 50 && seen.expired > 20, JSON.stringify(seen));
});
