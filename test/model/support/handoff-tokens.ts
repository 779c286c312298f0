/** Tokens for tests. */
import assert from "node:assert/strict";
import { HandoffToken, type HandoffTokenStore } from "../../../src/model/handoff-tokens.ts";

export const EMPTY = Buffer.alloc(0);

export function issue(store: HandoffTokenStore, nowMs: number): HandoffToken {
  const result = store.issue(nowMs);
  assert.ok(result.ok, JSON.stringify(result));
  return result.token;
}

export function tokenOf(bytes: Uint8Array): HandoffToken {
  const token = HandoffToken.from(bytes);
  assert.ok(token);
  return token;
}
