import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { hasCode } from "../base/errors.ts";
import {
  backendName,
  brokerName,
  checkName,
  checkVersion,
  type Instance,
  instanceId,
  isVersion,
  nameFault,
  parseInstanceId,
  splitOnce,
} from "./names.ts";

const HASH = "deadbeefdeadbeef";

describe("the grammar of names", () => {
  const good = ["a", "0", "-", "zccache", "build-cache", "-a-", "a--b", "x".repeat(64)];
  for (const name of good) {
    test(`allows ${JSON.stringify(name)}`, () => {
      assert.equal(nameFault(name), undefined);
      checkName("service name", name);
    });
  }

  const bad: readonly (readonly [string, RegExp])[] = [
    ["", /is empty/],
    ["x".repeat(65), /has 65 bytes/],
    ["é".repeat(33), /has 66 bytes/],
    ["Abc", /upper-case/],
    ["abC.", /upper-case/],
    ["a.b", /may contain only/],
    ["a_b", /may contain only/],
    ["a b", /may contain only/],
    ["a/b", /may contain only/],
    ["a\n", /may contain only/],
    ["a\0", /may contain only/],
    ["é", /may contain only/],
    ["ⅰ", /may contain only/],
  ];
  for (const [name, why] of bad) {
    test(`refuses ${JSON.stringify(name)}`, () => {
      assert.match(nameFault(name) ?? "", why);
      assert.throws(
        () => checkName("service name", name),
        (error) => hasCode(error, "NAME_INVALID") && why.test(error.message),
      );
    });
  }

  test("a refused name is quoted only in part", () => {
    assert.throws(
      () => checkName("service name", "x".repeat(100_000)),
      (error) => error instanceof Error && error.message.length < 300,
    );
  });
});

describe("the grammar of versions", () => {
  for (const version of [
    "0.0.0",
    "1.2.3",
    "01.002.0003",
    `${"9".repeat(40)}.0.0`,
    "1.2.3-rc.1",
    "1.2.3-a",
    "1.2.3-..",
    "1.2.3-0",
  ]) {
    test(`allows ${JSON.stringify(version)}`, () => {
      assert.ok(isVersion(version));
      checkVersion("version", version);
    });
  }

  for (const version of [
    "",
    "1",
    "1.2",
    "1.2.3.4",
    "v1.2.3",
    "1.2.3-",
    "1.2.3-RC",
    "1.2.3-a-b",
    "1.2.3+build",
    "1.2.3-a+b",
    "1..3",
    ".1.2",
    " 1.2.3",
    "1.2.3\n",
    "1.2.x",
    "１.2.3",
    "1.2.3-a_b",
    "1.2.3/../..",
  ]) {
    test(`refuses ${JSON.stringify(version)}`, () => {
      assert.ok(!isVersion(version));
      assert.throws(
        () => checkVersion("version", version),
        (error) => hasCode(error, "VERSION_INVALID"),
      );
    });
  }
});

describe("instances", () => {
  const rows: readonly (readonly [Instance, string, string])[] = [
    [{ kind: "shared" }, "shared", "rpb-v1-deadbeefdeadbeef-shared"],
    [{ kind: "private", service: "zccache" }, "private:zccache", "rpb-v1-deadbeefdeadbeef-svc-zccache"],
    [{ kind: "explicit", name: "ci-trusted" }, "explicit:ci-trusted", "rpb-v1-deadbeefdeadbeef-inst-ci-trusted"],
  ];
  for (const [instance, id, bare] of rows) {
    test(`${id} has its id, its broker's name, and comes back from the id`, () => {
      assert.equal(instanceId(instance), id);
      assert.deepEqual(parseInstanceId(id), instance);
      assert.equal(brokerName(HASH, instance), bare);
    });
  }

  for (const id of ["", "Shared", "shared:", "private", "explicit", "other:a", "private-a"]) {
    test(`${JSON.stringify(id)} is no id`, () => {
      assert.throws(
        () => parseInstanceId(id),
        (error) => hasCode(error, "OPTION_INVALID"),
      );
    });
  }

  for (const id of ["private:", "private:A", "explicit:a:b", "explicit:../x"]) {
    test(`${JSON.stringify(id)} has a name that is none`, () => {
      assert.throws(
        () => parseInstanceId(id),
        (error) => hasCode(error, "NAME_INVALID"),
      );
    });
  }

  test("a broker's name is not made from a name that is none", () => {
    for (const instance of [
      { kind: "private", service: "A" },
      { kind: "explicit", name: "" },
    ] as const) {
      assert.throws(
        () => brokerName(HASH, instance),
        (error) => hasCode(error, "NAME_INVALID"),
      );
    }
  });

  test("a user hash is 16 of 0-9a-f; its length is judged before its letters", () => {
    for (const [hash, why] of [
      ["DEAD", /4 characters/],
      ["deadbeefdeadbeef0", /17 characters/],
      ["", /0 characters/],
      ["DEADBEEFDEADBEEF", /other than/],
      ["deadbeefdeadbeeg", /other than/],
    ] as const) {
      assert.throws(
        () => brokerName(hash, { kind: "shared" }),
        (error) => hasCode(error, "NAME_INVALID") && why.test(error.message),
      );
      assert.throws(
        () => backendName(hash, Buffer.alloc(16)),
        (error) => hasCode(error, "NAME_INVALID"),
      );
    }
  });
});

describe("backend names", () => {
  test("hold the random bytes as hex", () => {
    assert.equal(backendName(HASH, Buffer.alloc(16, 0xab)), `rpb-v1-${HASH}-be-${"ab".repeat(16)}`);
    assert.equal(
      backendName(
        HASH,
        Uint8Array.from({ length: 16 }, (_, i) => i),
      ),
      `rpb-v1-${HASH}-be-000102030405060708090a0b0c0d0e0f`,
    );
  });

  test("need exactly 16 of them, which is our own duty", () => {
    for (const length of [0, 15, 17]) assert.throws(() => backendName(HASH, Buffer.alloc(length)), /16 random bytes/);
  });
});

test("a text is split at the first separator only", () => {
  assert.deepEqual(splitOnce("a:b:c", ":"), ["a", "b:c"]);
  assert.deepEqual(splitOnce("a", ":"), ["a", undefined]);
  assert.deepEqual(splitOnce(":", ":"), ["", ""]);
});

test("every name of the alphabet is allowed, and any other letter in it is not", () => {
  const letter = fc.constantFrom(..."abcdefghijklmnopqrstuvwxyz0123456789-");
  const name = fc.array(letter, { minLength: 1, maxLength: 63 }).map((letters) => letters.join(""));
  fc.assert(
    fc.property(name, fc.string({ unit: "binary", minLength: 1, maxLength: 1 }), fc.nat(63), (text, other, at) => {
      assert.equal(nameFault(text), undefined);
      const mixed = text.slice(0, at) + other + text.slice(at);
      assert.equal(nameFault(mixed) === undefined, /^[a-z0-9-]$/.test(other));
    }),
  );
});
