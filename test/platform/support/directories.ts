/** Directories of any mode and owner, and tests that become an ordinary user. */
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import type { Files } from "../../../src/platform/ports/index.ts";
import { createFiles } from "../../../src/platform/posix/files/files.ts";

export const isRoot = process.geteuid?.() === 0;
export const STRANGER = 65534;
/** Not the one of `STRANGER`, and no account. */
export const ORDINARY = 65533;

export function directory(path: string, mode = 0o700, uid?: number): string {
  mkdirSync(path);
  chmodSync(path, mode);
  if (uid !== undefined) chownSync(path, uid, uid);
  return path;
}

/**
 * Files as an ordinary user sees them; the process is that user until the test ends. `base` becomes that user's. Without
 * root it is the user who runs the tests.
 */
export function asOrdinaryUser(t: TestContext, base?: string, uid = ORDINARY): Files {
  if (!isRoot) return createFiles();
  if (base !== undefined) chownSync(base, uid, uid);
  process.setegid?.(uid);
  process.seteuid?.(uid);
  t.after(becomeRoot);
  return createFiles();
}

export function becomeRoot(): void {
  if (!isRoot) return;
  process.seteuid?.(0);
  process.setegid?.(0);
}

export function temporary(t: TestContext): string {
  const base = mkdtempSync(join(tmpdir(), "p"));
  t.after(() => {
    // Hooks run in the order of their registration.
    becomeRoot();
    rmSync(base, { recursive: true });
  });
  return base;
}
