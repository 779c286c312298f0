import assert from "node:assert/strict";
import { test } from "node:test";
import { createPendingRequests } from "./pending-requests.ts";

test("given-up ids are recognised once, however many there are", () => {
  const book = createPendingRequests<string>();
  const ids = Array.from({ length: 10_000 }, () => {
    const id = book.add("x");
    book.remove(id, { abandoned: true });
    return id;
  });
  assert.equal(book.size, 0);
  assert.ok(ids.every((id) => book.isLateAnswer(id)));
  assert.equal(book.isLateAnswer(10_000n), false);
  assert.equal(book.isLateAnswer(10_001n), false);
  assert.equal(book.isLateAnswer(0n), false);
});

test("an answered id is no late answer", () => {
  const book = createPendingRequests<string>();
  const id = book.add("x");
  book.remove(id, { abandoned: false });
  assert.equal(book.isLateAnswer(id), false);
});

test("an id still in flight is skipped after the wrap-around", () => {
  const book = createPendingRequests<string>({ firstId: 2n ** 64n - 2n });
  assert.deepEqual([book.add("a"), book.add("b"), book.add("c")], [2n ** 64n - 2n, 2n ** 64n - 1n, 1n]);
  const second = createPendingRequests<string>({ firstId: 2n ** 64n - 1n });
  second.add("a");
  second.add("b");
  assert.equal(second.add("c"), 2n);
});
