import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { hasCode } from "../base/errors.ts";
import type { BackendIdentity } from "../model/identity.ts";
import { loadPlatform } from "../platform/platform.ts";
import {
  createSidecar,
  readIdentityFile,
  removeIdentityFile,
  tryReadIdentityFile,
  writeIdentityFile,
} from "./identity-file.ts";

const { files } = await loadPlatform();
const IDENTITY: BackendIdentity = {
  pid: 7,
  exePath: "/x",
  sha256: new Uint8Array(32).fill(3),
  endpoint: { namespaceId: "n", path: "/p" },
  startedAtUnixMs: 100,
  bootId: "b",
};

function place(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), "rps-"));
  t.after(() => rmSync(directory, { recursive: true }));
  return join(directory, "daemon-identity.json");
}

test("a record is written, read back and removed by its own process", (t) => {
  const path = place(t);
  writeIdentityFile(files, path, IDENTITY);
  assert.deepEqual(readIdentityFile(files, path), IDENTITY);
  assert.ok(removeIdentityFile(files, path, IDENTITY));
  assert.equal(existsSync(path), false);
});

test("the record of a successor stays, even one with the same pid", (t) => {
  const path = place(t);
  for (const successor of [
    { ...IDENTITY, pid: 8 },
    { ...IDENTITY, startedAtUnixMs: 101 },
  ]) {
    writeIdentityFile(files, path, successor);
    assert.equal(removeIdentityFile(files, path, IDENTITY), false);
    assert.deepEqual(readIdentityFile(files, path), successor);
  }
});

test("a missing file is nothing to both readers, a malformed one only to the tolerant reader", (t) => {
  const path = place(t);
  assert.equal(readIdentityFile(files, path), undefined);
  assert.equal(tryReadIdentityFile(files, path), undefined);
  for (const text of ["{", "{}", "x".repeat(70_000)]) {
    writeFileSync(path, text);
    assert.throws(
      () => readIdentityFile(files, path),
      (error) => hasCode(error, "IDENTITY_MALFORMED", "IO_FAILED"),
    );
    assert.equal(tryReadIdentityFile(files, path), undefined);
  }
});

test("the directory must exist", (t) => {
  assert.throws(
    () => writeIdentityFile(files, join(place(t), "deeper"), IDENTITY),
    (error) => hasCode(error, "IO_FAILED"),
  );
});

test("a sidecar is there from its publication until it is withdrawn, and is not written after that", (t) => {
  const path = place(t);
  const early = createSidecar(files, path);
  early.publish(IDENTITY);
  assert.deepEqual(readIdentityFile(files, path), IDENTITY);
  early.withdraw();
  assert.equal(existsSync(path), false);
  // An executable that takes long to hash: the identity is known only when the backend stops already.
  const late = createSidecar(files, path);
  late.withdraw();
  late.publish(IDENTITY);
  assert.equal(existsSync(path), false);
});
