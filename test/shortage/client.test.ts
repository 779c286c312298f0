/** A client's start of a broker that fails at any point, or is given up, has let go of its lock and closed what it had open. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { isBrokerError } from "../../src/base/errors.ts";
import { startBroker } from "../../src/client/auto-start.ts";
import type { BrokerStart } from "../../src/client/start-command.ts";
import { createTimeBox } from "../../src/client/time-box.ts";
import { loadPlatform } from "../../src/platform/platform.ts";
import { openedSince, openNow } from "../support/peers/pairs.ts";
import { pidsOf } from "../support/process-facts.ts";
import { createFailpoint, sweepFailures } from "./support/failpoint.ts";

const TINY_BROKER = fileURLToPath(new URL("../support/peers/tiny-broker.mjs", import.meta.url));

/** Each in a directory of its own; what is started is killed in the end. */
function startIn(t: TestContext): { start: BrokerStart; processes(): number[] } {
  const directory = mkdtempSync(join(tmpdir(), "as-"));
  const kill = (): void => {
    for (const pid of pidsOf(directory)) process.kill(pid, "SIGKILL");
  };
  t.after(() => {
    kill();
    rmSync(directory, { recursive: true });
  });
  const endpoint = join(directory, "run", "b.sock");
  const start: BrokerStart = {
    endpoint,
    file: process.execPath,
    args: [TINY_BROKER, "serve", "serve", "--socket", endpoint],
    env: { MARK: directory },
    logPath: join(directory, "log", "broker.log"),
  };
  return { start, processes: () => pidsOf(directory) };
}

const isLocked = async (start: BrokerStart): Promise<boolean> => {
  const lock = (await loadPlatform()).locks.tryAcquire(`${start.endpoint}.start.lock`);
  lock?.release();
  return lock === undefined;
};

test("whatever call of a client's start fails: it has a code, and neither lock nor descriptor is left", async (t) => {
  const { platform, arm, disarm } = createFailpoint(await loadPlatform(), "ENOSPC");
  const made = await sweepFailures(async (call, n) => {
    const { start, processes } = startIn(t);
    const before = openNow();
    arm(call, n);
    const opened = await startBroker(platform, start, createTimeBox(platform.clock, 20_000)).catch((error: unknown) => {
      assert.ok(isBrokerError(error), String(error));
      assert.match(error.message, /ENOSPC/);
    });
    const fired = disarm();
    opened?.connection.close();
    // What was started and is not reached after all is there for the next client; the handle goes with its end.
    const alive = setInterval(() => {}, 1000);
    for (const pid of processes()) process.kill(pid, "SIGKILL");
    while (openedSince(before).length > 0) await new Promise(setImmediate);
    clearInterval(alive);
    assert.equal(existsSync(dirname(start.endpoint)) && (await isLocked(start)), false, call);
    return fired;
  });
  for (const call of ["files.ensurePrivateDirectory", "locks.tryAcquire", "transport.connect", "files.openLog"])
    assert.ok(made.includes(call), `${call} did not fail; ${made.join(" ")}`);
  assert.ok(made.includes("processes.spawnAndAwaitLine"));
});

test("a call that is over before it begins takes no lock", async (t) => {
  const platform = await loadPlatform();
  const { start } = startIn(t);
  const aborted = createTimeBox(platform.clock, 20_000, AbortSignal.abort());
  await assert.rejects(startBroker(platform, start, aborted), /ABORTED/);
  assert.equal(await isLocked(start), false);
  await assert.rejects(startBroker(platform, start, createTimeBox(platform.clock, 0)), /DEADLINE_EXCEEDED/);
  assert.equal(await isLocked(start), false);
});
