import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, posix } from "node:path";
import test, { type TestContext } from "node:test";
import { hasCode } from "../../base/errors.ts";
import { createServiceDefinition } from "../../model/service-definition.ts";
import { createFiles } from "../../platform/posix/files/files.ts";
import { type Binary, isInside, resolveBinary } from "./resolve-binary.ts";

function temporary(t: TestContext): string {
  const root = realpathSync(mkdtempSync(join(tmpdir(), "bin-")));
  t.after(() => rmSync(root, { recursive: true }));
  return root;
}

function executable(path: string): string {
  writeFileSync(path, "#!/bin/sh\n");
  chmodSync(path, 0o755);
  return path;
}

function resolve(binaryPath: string, perVersionBinaryDir: string, version = "1.0.0"): Binary {
  const definition = createServiceDefinition({ serviceName: "svc", binaryPath, perVersionBinaryDir });
  return resolveBinary(createFiles(), definition, version);
}

test("containment goes by whole path components", () => {
  assert.equal(isInside(posix, "/opt/x/a", "/opt/x"), true);
  assert.equal(isInside(posix, "/opt/x/y/a", "/opt/x"), true);
  assert.equal(isInside(posix, "/opt/x/..a", "/opt/x"), true);
  assert.equal(isInside(posix, "/opt/a", "/"), true);
  assert.equal(isInside(posix, "/opt/x2/a", "/opt/x"), false);
  assert.equal(isInside(posix, "/opt/x", "/opt/x"), false);
  assert.equal(isInside(posix, "/opt", "/opt/x"), false);
  assert.equal(isInside(posix, "/etc/a", "/opt/x"), false);
});

test("a binary and its root may both be behind links; the result is the canonical path", (t) => {
  const root = temporary(t);
  mkdirSync(join(root, "real"));
  const binary = executable(join(root, "real", "tool"));
  symlinkSync(join(root, "real"), join(root, "link"));
  assert.equal(resolve(join(root, "link", "tool"), join(root, "real")).path, binary);
  assert.equal(resolve(binary, join(root, "link")).path, binary);
});

test("{version} is replaced wherever it stands, before anything is checked", (t) => {
  const root = temporary(t);
  mkdirSync(join(root, "2.0.0"));
  const binary = executable(join(root, "2.0.0", "tool-2.0.0"));
  assert.equal(resolve(join(root, "{version}", "tool-{version}"), root, "2.0.0").path, binary);
  assert.throws(
    () => resolve(join(root, "{version}", "tool"), root),
    /1\.0\.0\/tool" could not be canonicalized: ENOENT/,
  );
});

test("the stamp tells the file that was looked at from what comes to lie at its place", (t) => {
  const root = temporary(t);
  const binary = executable(join(root, "tool"));
  const first = resolve(binary, root).stamp;
  assert.deepEqual(resolve(binary, root).stamp, first);
  rmSync(binary);
  executable(join(root, "other"));
  executable(binary);
  assert.notDeepEqual(resolve(binary, root).stamp, first);
});

test("every refusal is a failed spawn that names the path", (t) => {
  const root = temporary(t);
  const rows = [
    [join(root, "none"), root],
    [executable(join(root, "tool")), join(root, "none")],
    [root, "/"],
    ["/bin/true", root],
  ] as const;
  for (const [path, allowRoot] of rows)
    assert.throws(
      () => resolve(path, allowRoot),
      (error) => hasCode(error, "SPAWN_FAILED") && typeof error.details.path === "string",
    );
});
