import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { compareForDisplay, judgeVersion, type VersionVerdict } from "./version-policy.ts";

const U64_MAX = "18446744073709551615";
const ABOVE_U64 = "18446744073709551616";

describe("the floor", () => {
  const rows: readonly (readonly [string, string, VersionVerdict])[] = [
    ["1.10.0", "", "allowed"],
    ["1.10.0", "1.10.0", "allowed"],
    ["1.10.1", "1.10.0", "allowed"],
    ["1.9.9", "1.10.0", "below-floor"],
    ["0.99.99", "1.0.0", "below-floor"],
    ["2.0.0", "1.99.99", "allowed"],
    ["10.0.0", "9.0.0", "allowed"],
    ["1.10.0-rc.1", "1.10.0", "allowed"],
    ["1.10.0", "1.10.0-rc.1", "allowed"],
    ["1.9.0-zzz", "1.10.0", "below-floor"],
    ["01.010.0", "1.10.0", "allowed"],
    ["01.9.0", "1.10.0", "below-floor"],
    [`${U64_MAX}.0.0`, "1.0.0", "allowed"],
    ["1.0.0", `${U64_MAX}.0.0`, "below-floor"],
    [`0.${ABOVE_U64}.0`, "1.0.0", "allowed"],
    ["1.0.0", `${ABOVE_U64}.0.0`, "allowed"],
    ["1.0.9007199254740992", "1.0.9007199254740993", "below-floor"],
  ];
  for (const [wanted, minVersion, verdict] of rows) {
    test(`${minVersion || "none"}: ${wanted} is ${verdict}`, () => {
      assert.equal(judgeVersion(wanted, { minVersion, allowList: [] }), verdict);
    });
  }
});

describe("the allow-list", () => {
  test("lets through what it holds, byte for byte", () => {
    const policy = { minVersion: "", allowList: ["1.11.20", "2.0.0-rc.1"] };
    assert.equal(judgeVersion("1.11.20", policy), "allowed");
    assert.equal(judgeVersion("2.0.0-rc.1", policy), "allowed");
    for (const wanted of ["1.11.2", "1.11.020", "2.0.0", "2.0.0-rc.10"]) {
      assert.equal(judgeVersion(wanted, policy), "not-listed", wanted);
    }
  });

  test("of one version lets through no other", () => {
    const policy = { minVersion: "", allowList: ["1.11.20"] };
    assert.equal(judgeVersion("1.11.20", policy), "allowed");
    assert.equal(judgeVersion("1.11.21", policy), "not-listed");
  });

  test("does not override the floor, which is judged first", () => {
    assert.equal(judgeVersion("1.0.0", { minVersion: "1.1.0", allowList: ["1.0.0"] }), "below-floor");
    assert.equal(judgeVersion("1.0.0", { minVersion: "1.1.0", allowList: ["2.0.0"] }), "below-floor");
  });
});

test("listings show the newest first, pre-releases behind their release, and take any version of the grammar", () => {
  const shown = ["1.2.0", "1.10.0-rc.1", "1.10.0", `${ABOVE_U64}0.0.0`, "01.3.0", "1.2.0"].sort(compareForDisplay);
  assert.deepEqual(
    shown,
    ["1.10.0", "1.10.0-rc.1", "01.3.0", "1.2.0", "1.2.0", `${ABOVE_U64}0.0.0`].sort(compareForDisplay),
  );
  assert.ok(shown.indexOf("1.10.0") < shown.indexOf("1.10.0-rc.1"));
  assert.ok(shown.indexOf("1.10.0-rc.1") < shown.indexOf("01.3.0"));
  assert.ok(shown.indexOf("01.3.0") < shown.indexOf("1.2.0"));
});
