/** What a backend makes of the token that a handed-over connection comes with. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, test } from "node:test";
import { EMPTY, issue, tokenOf } from "../../test/model/support/handoff-tokens.ts";
import {
  acceptExpectedToken,
  createHandoffTokenStore,
  createTokenMemory,
  type HandoffToken,
  MAX_REMEMBERED_TOKENS,
  REMEMBERED_MS,
  TOKEN_TTL_MS,
} from "./handoff-tokens.ts";

const ACCEPTED = { accepted: true };

describe("a backend that expects a token (handoff_backend_lib, handoff_token_mismatch)", () => {
  const kept = 1;
  const gone = 0;
  const other = Buffer.alloc(16, 0xee);
  const rows: readonly (readonly [string, (token: HandoffToken) => Uint8Array, number, object, number])[] = [
    ["valid payload", (token) => token.reveal(), 1, ACCEPTED, gone],
    ["wrong token", () => other, 1, rejection("mismatch", "handoff token mismatch"), kept],
    ["empty token", () => EMPTY, 1, rejection("missing", "handoff token is missing"), kept],
    ["empty token, late", () => EMPTY, TOKEN_TTL_MS, rejection("missing", "handoff token is missing"), kept],
    [
      "short token",
      (token) => token.reveal().subarray(1),
      1,
      rejection("invalid-length", "handoff token length was 15 bytes; expected 16"),
      kept,
    ],
    [
      "long token",
      (token) => Buffer.concat([token.reveal(), Buffer.alloc(1)]),
      1,
      rejection("invalid-length", "handoff token length was 17 bytes; expected 16"),
      kept,
    ],
    ["expired", (token) => token.reveal(), TOKEN_TTL_MS, rejection("expired", "handoff token expired"), gone],
    ["expired and wrong", () => other, TOKEN_TTL_MS, rejection("expired", "handoff token expired"), gone],
  ];
  for (const [name, present, nowMs, verdict, left] of rows) {
    test(`${name}: ${JSON.stringify(verdict)}, ${left === kept ? "pending token kept" : "removed"}`, () => {
      const store = createHandoffTokenStore({ randomBytes });
      const token = issue(store, 0);
      assert.deepEqual(acceptExpectedToken(store, token, present(token), nowMs), verdict);
      assert.equal(store.pending(0), left);
      if (left === kept) assert.deepEqual(acceptExpectedToken(store, token, token.reveal(), 2), ACCEPTED);
      const again = acceptExpectedToken(store, token, token.reveal(), 2);
      assert.deepEqual(again, rejection("not-pending", "handoff token is not pending"));
    });
  }

  test("accepts a token that its broker issued and told it beforehand", () => {
    const broker = createHandoffTokenStore({ randomBytes });
    const backend = createHandoffTokenStore({ randomBytes });
    const token = issue(broker, 0);
    assert.ok(backend.admit(tokenOf(token.reveal()), 0));
    assert.deepEqual(acceptExpectedToken(backend, token, Buffer.from(token.reveal()), 1), ACCEPTED);
  });
});

describe("a backend that does not know what to expect", () => {
  const replay = rejection("not-pending", "handoff token is not pending");
  const numbered = (n: number): Buffer => {
    const bytes = Buffer.alloc(16);
    bytes.writeUInt32LE(n);
    return bytes;
  };

  test("lets each token in once", () => {
    const memory = createTokenMemory();
    assert.deepEqual(memory.accept(numbered(1), 0), ACCEPTED);
    assert.deepEqual(memory.accept(numbered(2), 0), ACCEPTED);
    assert.deepEqual(memory.accept(numbered(1), 0), replay);
    assert.deepEqual(memory.accept(numbered(1), REMEMBERED_MS - 1), replay);
    assert.equal(memory.remembered(0), 2);
  });

  test("refuses what is no token, and remembers nothing of it", () => {
    const memory = createTokenMemory();
    for (let i = 0; i < 2; i++) {
      assert.deepEqual(memory.accept(EMPTY, 0), rejection("missing", "handoff token is missing"));
      assert.deepEqual(
        memory.accept(Buffer.alloc(40), 0),
        rejection("invalid-length", "handoff token length was 40 bytes; expected 16"),
      );
    }
    assert.equal(memory.remembered(0), 0);
  });

  test("remembers for a minute, which a refused replay does not prolong", () => {
    const memory = createTokenMemory();
    memory.accept(numbered(1), 0);
    assert.deepEqual(memory.accept(numbered(1), 59_999), replay);
    assert.equal(memory.remembered(60_000), 0);
    assert.deepEqual(memory.accept(numbered(1), 60_000), ACCEPTED);
    assert.deepEqual(memory.accept(numbered(1), 119_999), replay, "and a minute again");
  });

  test("remembers 4096 tokens and forgets the oldest for a new one", () => {
    const memory = createTokenMemory();
    for (let n = 0; n < MAX_REMEMBERED_TOKENS; n++) memory.accept(numbered(n), 0);
    assert.equal(memory.remembered(0), 4096);
    assert.deepEqual(memory.accept(numbered(0), 0), replay);
    assert.deepEqual(memory.accept(numbered(4096), 0), ACCEPTED);
    assert.equal(memory.remembered(0), 4096);
    assert.deepEqual(memory.accept(numbered(1), 0), replay);
    assert.deepEqual(memory.accept(numbered(0), 0), ACCEPTED, "the oldest was forgotten");
  });

  test("forgets nothing it need not: expired ones make room first", () => {
    const memory = createTokenMemory({ capacity: 2, ttlMs: 10 });
    memory.accept(numbered(1), 0);
    memory.accept(numbered(2), 9);
    memory.accept(numbered(3), 10);
    assert.deepEqual(memory.accept(numbered(2), 11), replay);
    assert.deepEqual(memory.accept(numbered(3), 11), replay);
  });
});

function rejection(reason: string, errorDetail: string): object {
  return { accepted: false, reason, errorDetail };
}
