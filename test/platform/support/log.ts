/** A log in a directory of its own; at the end everything is closed and removed, and nothing may be left open. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, watch } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { collapseHead } from "../../../src/platform/linux/collapse.ts";
import type { CollapseHead } from "../../../src/platform/posix/files/collapse-log.ts";
import { createLogOpener, type DescriptorLog } from "../../../src/platform/posix/files/log-file.ts";
import { openedSince, openNow } from "../../support/peers/pairs.ts";

export const KEEP = 4096;

/** `parent`: its directory, which decides about the file system. */
export function setUpLog(
  t: TestContext,
  { parent = tmpdir(), collapse = collapseHead }: { parent?: string | undefined; collapse?: CollapseHead } = {},
): { directory: string; path: string; open(path?: string): DescriptorLog } {
  const directory = mkdtempSync(join(parent, "log-"));
  const path = join(directory, "log");
  // What Node watches with stays open from the first watch on.
  watch(directory, { persistent: false }).close();
  const before = openNow();
  const logs: DescriptorLog[] = [];
  const openLog = createLogOpener(collapse);
  t.after(() => {
    for (const log of logs) log.close();
    rmSync(directory, { recursive: true });
    assert.deepEqual(openedSince(before), [], "a descriptor stayed open");
  });
  return {
    directory,
    path,
    open: (at = path) => {
      const log = openLog(at);
      logs.push(log);
      return log;
    },
  };
}
