import assert from "node:assert/strict";
import { test } from "node:test";
import { InvalidArgumentError } from "commander";
import {
  absolutePath,
  collectPairs,
  collectWanted,
  parseCount,
  parseDuration,
  parseInstance,
  parsePositiveCount,
} from "./option-parsers.ts";

test("durations have a unit and a sane size", () => {
  for (const [text, ms] of [
    ["500ms", 500],
    ["10s", 10_000],
    ["2m", 120_000],
    ["1h", 3_600_000],
  ] as const)
    assert.equal(parseDuration(text), ms);
  for (const text of ["", "10", "0s", "-1s", "1.5s", "10 s", "1d", "999999h"])
    assert.throws(() => parseDuration(text), InvalidArgumentError, text);
});

test("wanted backends are a service and a version, collected one after the other", () => {
  const first = collectWanted("demo@1.2.0", undefined);
  assert.deepEqual(collectWanted("my-tool@2.0.0-rc.1", first), [
    { service: "demo", version: "1.2.0" },
    { service: "my-tool", version: "2.0.0-rc.1" },
  ]);
  for (const text of ["", "demo", "@1.2.0", "demo@", "demo@1.2", "Demo@1.2.0", "demo@1.2.0@3", "demo 1.2.0"])
    assert.throws(
      () => collectWanted(text, undefined),
      (error) => error instanceof InvalidArgumentError && error.message.startsWith("Write SERVICE@VERSION"),
      text,
    );
});

test("counts are whole numbers", () => {
  assert.equal(parseCount("0"), 0);
  assert.equal(parsePositiveCount("7"), 7);
  for (const text of ["", "-1", "1.5", "x", "1e3"]) {
    assert.throws(() => parseCount(text), InvalidArgumentError, text);
    assert.throws(() => parsePositiveCount(text), InvalidArgumentError, text);
  }
  assert.throws(() => parsePositiveCount("0"), InvalidArgumentError);
});

test("instances follow the grammar of instance ids", () => {
  for (const text of ["shared", "private:demo", "explicit:ci"]) assert.equal(parseInstance(text), text);
  for (const text of ["", "private", "private:", "explicit:A", "own:x"])
    assert.throws(() => parseInstance(text), InvalidArgumentError, text);
});

test("pairs split at the first =, and a name counts once", () => {
  assert.deepEqual(collectPairs("B=x=y", { A: "1" }), { A: "1", B: "x=y" });
  assert.deepEqual(collectPairs("A=", undefined), { A: "" });
  for (const text of ["A", "=x", ""]) assert.throws(() => collectPairs(text, undefined), InvalidArgumentError, text);
  assert.throws(() => collectPairs("A=2", { A: "1" }), InvalidArgumentError);
});

test("an absolute path stays byte for byte; a relative one is taken from the working directory", () => {
  assert.equal(absolutePath("/a//b/../{version}", "/w"), "/a//b/../{version}");
  assert.equal(absolutePath("../b", "/w/x"), "/w/b");
});
