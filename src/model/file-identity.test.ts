import assert from "node:assert/strict";
import { test } from "node:test";
import { sameFile, sameStamp, stampOf, stampText } from "./file-identity.ts";

/** Larger than a number can tell from its neighbour: inodes of 64 bits are common on XFS, ZFS and network file systems. */
const LARGE = 2n ** 63n;
const STAMP = { dev: 64_769n, ino: LARGE, mtimeNs: 1_764_000_000_000_000_001n, size: 10n };

test("a file is the same by device and inode together, whatever was written to it", () => {
  const rewritten = { ...STAMP, mtimeNs: 0n, size: 11n };
  assert.ok(sameFile(STAMP, rewritten));
  assert.equal(sameFile(STAMP, { ...STAMP, ino: LARGE + 1n }), false);
  assert.equal(sameFile(STAMP, { ...STAMP, dev: 64_770n }), false);
});

test("a content is the same only while nothing of its stamp changes, to the nanosecond", () => {
  assert.ok(sameStamp(STAMP, { ...STAMP }));
  for (const field of ["dev", "ino", "mtimeNs", "size"] as const) {
    const other = { ...STAMP, [field]: STAMP[field] + 1n };
    assert.equal(sameStamp(STAMP, other), false, field);
    assert.equal(sameStamp(other, STAMP), false, field);
    assert.notEqual(stampText(STAMP), stampText(other), field);
  }
});

test("what is not there is the same as nothing, not even as another thing that is not there", () => {
  for (const same of [sameFile, sameStamp])
    for (const [a, b] of [
      [STAMP, undefined],
      [undefined, STAMP],
      [undefined, undefined],
    ] as const)
      assert.equal(same(a, b), false);
});

test("of facts that hold more the stamp is kept, and nothing else", () => {
  const facts = { ...STAMP, kind: "file", uid: 0, mode: 0o600 };
  assert.deepEqual(stampOf(facts), STAMP);
  assert.equal(stampText(facts), stampText(STAMP));
});
