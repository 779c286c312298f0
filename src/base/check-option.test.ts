import assert from "node:assert/strict";
import { test } from "node:test";
import { type NumberRule, optionalNumber } from "./check-option.ts";

const isGood = (value: unknown, rule: NumberRule): boolean => {
  try {
    optionalNumber("n", value, rule, "a number");
    return true;
  } catch {
    return false;
  }
};

test("a number keeps each bound of its rule, the bounds themselves included where they are good", () => {
  const cases: readonly [NumberRule, readonly number[], readonly number[]][] = [
    [{}, [Number.NEGATIVE_INFINITY, -1.5, 0, Number.POSITIVE_INFINITY], [Number.NaN]],
    [{ least: 0 }, [0, 0.1, Number.POSITIVE_INFINITY], [-0.1, Number.NaN]],
    [{ above: 0 }, [Number.MIN_VALUE, 1], [0, -1, Number.NaN]],
    [{ most: 9 }, [9, -9], [9.1, Number.POSITIVE_INFINITY, Number.NaN]],
    [{ whole: true }, [-3, 0, 2 ** 53 - 1], [0.5, 2 ** 53, Number.POSITIVE_INFINITY, Number.NaN]],
    [{ least: 1, most: 2, whole: true }, [1, 2], [0, 1.5, 3]],
  ];
  for (const [rule, good, bad] of cases) {
    for (const value of good) assert.equal(isGood(value, rule), true, `${JSON.stringify(rule)} ${value}`);
    for (const value of bad) assert.equal(isGood(value, rule), false, `${JSON.stringify(rule)} ${value}`);
  }
});

test("nothing but a number is one, however it would compare, and undefined is fine", () => {
  assert.equal(isGood(undefined, { least: 1 }), true);
  for (const value of ["5", 5n, null, true, [5], { valueOf: () => 5 }, new Date(5), Symbol("5"), () => 5])
    assert.equal(isGood(value, { least: 0, most: 10 }), false, typeof value);
});

test("the error names the option, what was got and what was expected", () => {
  assert.throws(() => optionalNumber("waitMs", 5n, { least: 0 }, "a number of milliseconds"), {
    code: "OPTION_INVALID",
    message: "[OPTION_INVALID] option waitMs is 5n, expected a number of milliseconds",
    details: { check: "waitMs" },
  });
});
