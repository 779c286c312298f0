/** Connected pairs, clocks that stand still, and descriptors as the kernel counts them. */
import type { TestContext } from "node:test";
import { Deadline } from "../../../src/base/clock.ts";
import { loadPlatform } from "../../../src/platform/platform.ts";
import type { Connection, Platform } from "../../../src/platform/ports/index.ts";
import { createManualClock } from "../../../src/testing/manual-clock.ts";
import { descriptorsIn, OF_THE_EVENT_LOOP } from "../process-facts.ts";
import { PROJECT } from "../world.ts";

export interface Pair {
  readonly platform: Platform;
  readonly near: Connection;
  readonly far: Connection;
  /** Far away on a clock that stands still, so that nothing here depends on how fast the machine is. */
  readonly never: Deadline;
}

/** Both ends are closed when the test is over. */
export async function createPair(t: TestContext): Promise<Pair> {
  const platform = await loadPlatform();
  const { ours, theirs } = platform.transport.pair();
  const far = platform.transport.adoptConnection(theirs.take());
  t.after(() => {
    ours.close();
    far.close();
  });
  return { platform, near: ours, far, never: Deadline.never(createManualClock()) };
}

/**
 * What this package has open in this process, each with its number. To be compared with what it had before by
 * `openedSince`: other tests of the same process may have something that is just being closed.
 */
export function openNow(): ReadonlySet<string> {
  const open = descriptorsIn(process.pid).filter(({ target }) => !isOfTheRuntime(target));
  return new Set(open.map(({ fd, target }) => `${fd} ${target}`));
}

/** What Node or the transpiler opens at a time of its own: its program, modules, the transpiler's cache, parts of an event loop. */
function isOfTheRuntime(target: string): boolean {
  return (
    target === process.execPath ||
    target.startsWith(PROJECT) ||
    target.split("/").some((name) => /^tsx-\d+$/.test(name)) ||
    OF_THE_EVENT_LOOP.includes(target)
  );
}

export function openedSince(before: ReadonlySet<string>): string[] {
  return [...openNow()].filter((each) => !before.has(each));
}

/** Descriptors of this process that are open on `path`. */
export function openOn(path: string): number[] {
  return descriptorsIn(process.pid)
    .filter(({ target }) => target === path)
    .map(({ fd }) => fd);
}
