/** A broker that launches and buries all day stays as it was. */
import assert from "node:assert/strict";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { brokerSettles } from "../../support/handing.ts";
import { createLaunching, type Launching, logLines, zombiesOf } from "../../support/launching.ts";
import { descriptorsOf, openFiles } from "../../support/process-facts.ts";

const ROUNDS = 100;

/** Resolves when `count` lines say that a backend of `service` got to `state`. */
async function buried(launching: Launching, service: string, state: string, count: number): Promise<void> {
  const { broker } = launching;
  for (;;) {
    const seen = logLines(broker).filter(
      (line) => line.type === "backend-state" && line.service === service && line.to === state,
    ).length;
    if (seen >= count) return;
    const size = broker.log().length;
    await new Promise<void>((resolve) => {
      broker.process.stderr?.once("data", () => resolve());
      if (broker.log().length > size) resolve();
    });
  }
}

test("after a hundred launches and deaths the broker has the descriptors it had, no zombie and no file", async (t) => {
  const launching = await createLaunching(t);
  const { world, broker } = launching;
  const binaryPath = join(world.root, "bin", "sleep");
  copyFileSync("/bin/sleep", binaryPath);
  const labels = { "exec.ready": "listen", "exec.args": '["600"]' };
  world.define({ serviceName: "dies", binaryPath, labels });
  const round = async (number: number): Promise<void> => {
    // Each a version of its own: one that keeps dying is not launched for ever.
    await launching.negotiated("dies", `1.0.${number}`);
    process.kill(launching.pids("dies").at(-1) as number, "SIGKILL");
    await buried(launching, "dies", "absent", number);
  };
  await launching.negotiated("dies", "1.0.1");
  // One for the log, which the broker measures and empties by its descriptor.
  assert.deepEqual(
    openFiles(broker.pid).filter((path) => path.startsWith(join(world.logs, "dies-"))),
    [join(world.logs, "dies-1.0.1.log")],
  );
  await round(1);
  const before = descriptorsOf(broker.pid);
  for (let number = 2; number <= ROUNDS; number++) await round(number);
  // The last death may be being written down at this moment.
  await brokerSettles(launching, before);
  assert.deepEqual(zombiesOf(broker.pid), []);
  assert.deepEqual(launching.leftovers(), []);
});

test("after a hundred failed launches of a hundred versions it has neither more of them", async (t) => {
  const launching = await createLaunching(t);
  const { world, broker } = launching;
  const binaryPath = join(world.root, "bin", "false");
  copyFileSync("/bin/false", binaryPath);
  world.define({ serviceName: "fails", binaryPath });
  await launching.refused("fails", "0.0.0");
  const before = descriptorsOf(broker.pid);
  const reasons = await Promise.all(
    Array.from({ length: ROUNDS }, async (_, number) => (await launching.refused("fails", `1.0.${number}`)).reason),
  );
  const failed = reasons.filter((reason) => reason.includes("backend exited with status 1 before it was ready"));
  const full = reasons.filter((reason) => reason === "64 backends are being launched already");
  assert.equal(failed.length + full.length, ROUNDS);
  assert.ok(failed.length >= 64);
  await brokerSettles(launching, before);
  assert.deepEqual(zombiesOf(broker.pid), []);
  assert.deepEqual(launching.leftovers(), []);
});
