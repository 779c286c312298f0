import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { createEventFolding } from "./event-folding.ts";

const RULE = { burst: 3, refillMs: 1000 };

function same(value: string) {
  return { key: "k", group: () => "g", value };
}

test("the first ones pass, then one in a while stands for all since", () => {
  const folding = createEventFolding<string>(RULE);
  assert.deepEqual(
    ["a", "b", "c", "d", "e"].map((value) => folding.offer(same(value), 0)),
    [true, true, true, false, false],
  );
  assert.equal(folding.nextMs(), 1000);
  assert.deepEqual(folding.due(999), []);
  assert.equal(folding.nextMs(), 1000);
  assert.deepEqual(folding.due(1000), [{ value: "e", count: 2 }]);
  assert.equal(folding.nextMs(), undefined);
  // What was earned meanwhile went to the one that was told.
  assert.equal(folding.offer(same("f"), 1500), false);
  assert.deepEqual(folding.due(2500), [{ value: "f", count: 1 }]);
});

test("after a quiet while events pass one by one again, at most a burst of them", () => {
  const folding = createEventFolding<string>(RULE);
  for (const value of "abc") folding.offer(same(value), 0);
  assert.equal(folding.offer(same("d"), 1000), true);
  assert.equal(folding.offer(same("e"), 1001), false);
  folding.due(60_000);
  assert.deepEqual(
    ["f", "g", "h", "i"].map((value) => folding.offer(same(value), 120_000)),
    [true, true, true, false],
  );
});

test("nothing overtakes what is held of its kind, other kinds pass", () => {
  const folding = createEventFolding<string>(RULE);
  for (const value of "abcd") folding.offer(same(value), 0);
  assert.equal(folding.offer(same("e"), 5000), false);
  assert.equal(folding.offer({ key: "other", group: () => "g", value: "x" }, 5000), true);
  assert.deepEqual(folding.due(0, true), [{ value: "e", count: 2 }]);
});

test("kinds beyond the limit are told together, and idle ones make room", () => {
  const folding = createEventFolding<string>(RULE);
  const offer = (key: string, nowMs: number) => folding.offer({ key, group: () => "g", value: key }, nowMs);
  for (let i = 0; i < 128; i++) assert.equal(offer(`k${i}`, 0), true);
  const more = Array.from({ length: 100 }, (_, i) => offer(`more${i}`, 1));
  assert.deepEqual(more.slice(0, 3), [true, true, true]);
  assert.equal(more.filter(Boolean).length, 3);
  assert.deepEqual(folding.due(0, true), [{ value: "more99", count: 97 }]);
  assert.equal(offer("later", 10_000), true);
  assert.equal(offer("k0", 10_000), true);
});

test("every event passes or is counted, in any order of offers and looks, and the rate is bounded", () => {
  const step = fc.record({ key: fc.nat(200), waitMs: fc.nat(3000), look: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
      const folding = createEventFolding<number>(RULE);
      let now = 0;
      let told = 0;
      for (const { key, waitMs, look } of steps) {
        now += waitMs;
        if (folding.offer({ key: `k${key}`, group: () => "g", value: key }, now)) told++;
        if (look) for (const { count } of folding.due(now)) told += count;
      }
      for (const { count } of folding.due(now, true)) told += count;
      assert.equal(told, steps.length);
      assert.equal(folding.nextMs(), undefined);
    }),
  );
});
