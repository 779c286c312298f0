import assert from "node:assert/strict";
import { test } from "node:test";
import { fields, selectFields } from "./select-fields.ts";

test("only the fields that are named are there, in the order of the list, all the way down", () => {
  const given = { z: 1, secret: "s", a: { b: null, c: "c", d: { e: 1 } }, list: [{ k: 1, l: 2 }, "text", [3]] };
  assert.deepEqual(
    JSON.stringify(selectFields(given, { a: fields("b", "d"), z: "value", missing: "value", list: [fields("k")] })),
    JSON.stringify({ a: { b: null }, z: 1, list: [{ k: 1 }] }),
  );
});

test("what is not of the kind that the list says is left out, whatever it holds", () => {
  for (const given of [{ a: { hidden: 1 } }, { a: ["hidden"] }, { a: undefined }])
    assert.deepEqual(selectFields(given, { a: "value" }), {});
  for (const given of [{ a: "hidden" }, { a: [{ b: "hidden" }] }, { a: null }])
    assert.deepEqual(selectFields(given, { a: fields("b") }), {});
  assert.deepEqual(selectFields({ a: { 0: "hidden" } }, { a: ["value"] }), {});
  // A name that every object inherits is no field.
  assert.deepEqual(selectFields({}, fields("constructor", "toString")), {});
});
