import assert from "node:assert/strict";
import test from "node:test";
import { type BackendKey, compareKeys, keyText, sameKey } from "./backend-key.ts";

const KEY: BackendKey = { instanceId: "private:demo", service: "demo", version: "1.0.0" };

/** Each differs from KEY in one part, and some only by where one part ends and the next begins. */
const OTHERS: readonly BackendKey[] = [
  { ...KEY, instanceId: "shared" },
  { ...KEY, service: "demo2" },
  { ...KEY, version: "1.0.0-rc.1" },
  { instanceId: "private:dem", service: "odemo", version: "1.0.0" },
  { instanceId: "private:demo", service: "demo1", version: ".0.0" },
];

test("equal keys have one text, whichever objects they are", () => {
  assert.equal(keyText(KEY), "private:demo demo 1.0.0");
  assert.equal(keyText({ ...KEY }), keyText(KEY));
  assert.ok(sameKey(KEY, { ...KEY }));
  assert.equal(compareKeys(KEY, { ...KEY }), 0);
});

test("keys that differ in any part have different texts, and an order", () => {
  for (const other of OTHERS) {
    assert.notEqual(keyText(other), keyText(KEY));
    assert.equal(sameKey(KEY, other), false);
    assert.equal(sameKey(other, KEY), false);
    assert.equal(compareKeys(KEY, other), -compareKeys(other, KEY));
    assert.notEqual(compareKeys(KEY, other), 0);
  }
});

test("the text of a key object is made once", () => {
  let read = 0;
  const counted: BackendKey = {
    service: "demo",
    version: "1.0.0",
    get instanceId() {
      read++;
      return "shared";
    },
  };
  assert.equal(keyText(counted), keyText(counted));
  assert.equal(read, 1);
});

test("only the three parts count: a record that holds more has the text of its key", () => {
  const record = { brokerEndpoint: "/run/b.sock", ...KEY };
  assert.equal(keyText(record), keyText(KEY));
});

test("keys are sorted by service, then version, then instance, whatever order they come in", () => {
  const sorted = [
    { service: "a", version: "1.0.0", instanceId: "shared" },
    { service: "a", version: "1.10.0", instanceId: "private:a" },
    { service: "a", version: "1.10.0", instanceId: "shared" },
    { service: "a", version: "1.2.0", instanceId: "private:a" },
    { service: "b", version: "0.1.0", instanceId: "explicit:ci" },
  ];
  assert.deepEqual([...sorted].reverse().sort(compareKeys), sorted);
  assert.deepEqual(
    [sorted[2], sorted[4], sorted[0], sorted[3], sorted[1]].map((key) => key as BackendKey).sort(compareKeys),
    sorted,
  );
});
