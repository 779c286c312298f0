/** A broker at its limit of descriptors, whichever of a launch's it cannot have: it keeps none of the others. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { brokerSettles } from "../support/handing.ts";
import { createLaunching, type Launching } from "../support/launching.ts";
import { descriptorsIn, descriptorsOf } from "../support/process-facts.ts";

/** More than a launch has open at one time. */
const MOST = 16;

/** Leaves the broker `free` numbers: the limit is one of numbers, not of how many are open. */
function leave({ broker }: Launching, free: number): boolean {
  const taken = new Set(descriptorsIn(broker.pid).map(({ fd }) => fd));
  let limit = 0;
  for (let left = free; left > 0; limit++) if (!taken.has(limit)) left--;
  return spawnSync("prlimit", ["--pid", String(broker.pid), `--nofile=${limit}:`]).status === 0;
}

test("launches at the limit leave neither descriptors nor locks nor files, and those after it go well", async (t) => {
  const launching = await createLaunching(t);
  const { world, broker } = launching;
  world.define({ serviceName: "svc", binary: "obeys.mjs" });
  const stop = async (): Promise<void> => {
    for (const pid of world.processes()) if (pid !== broker.pid) process.kill(pid, "SIGKILL");
    while (launching.leftovers().length > 0) await new Promise(setImmediate);
  };
  await launching.negotiated("svc", "0.0.0");
  await stop();
  const before = descriptorsOf(broker.pid);
  const reasons: string[] = [];
  for (let free = 1; free <= MOST; free++) {
    if (!leave(launching, free)) return t.skip("needs prlimit");
    const { result } = await launching.hello("svc", `1.0.${free}`);
    reasons.push(result.case === "refused" ? result.value.reason : "");
    leave(launching, 1000);
    await stop();
    // The same version: its lock is free, and clients are accepted again.
    for (;;) {
      const again = (await launching.hello("svc", `2.0.${free}`)).result;
      if (again.case === "negotiated") break;
      assert.ok(again.case === "refused" && again.value.code === 9, again.case);
    }
    await stop();
    await brokerSettles(launching, before);
  }
  assert.ok(reasons.some((reason) => reason.includes("EMFILE")));
  assert.equal(reasons.at(-1), "", "the last had enough");
});
