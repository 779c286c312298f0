/** Many Hellos, few launches: joining, independence of keys, and the spawn budget (spec: launch §7.1). */
import assert from "node:assert/strict";
import { rmSync, writeFileSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import test from "node:test";
import { createLaunching, logLines, makeFifo, processEnd } from "../../support/launching.ts";

test("fifty Hellos at once for one backend launch one process and all get it", async (t) => {
  const launching = await createLaunching(t);
  const { world, broker } = launching;
  const started = makeFifo(join(world.root, "started"));
  const go = makeFifo(join(world.root, "go"));
  world.define({ serviceName: "svc", binary: "waits.mjs", labels: { "exec.env.STARTED": started, "exec.env.GO": go } });
  const hellos = Array.from({ length: 50 }, () => launching.negotiated("svc"));
  await readFile(started);
  await writeFile(go, "");
  const replies = await Promise.all(hellos);
  assert.equal(new Set(replies.map((reply) => reply.backendPipe)).size, 1);
  assert.equal(new Set(replies.map((reply) => reply.connectionId)).size, 50);
  assert.equal(logLines(broker).filter((line) => line.type === "backend-launching").length, 1);
});

test("fifty Hellos at once for a backend that fails cost one attempt and all hear why", async (t) => {
  const launching = await createLaunching(t);
  const { world, broker } = launching;
  const started = makeFifo(join(world.root, "started"));
  const go = makeFifo(join(world.root, "go"));
  const binaryPath = join(world.root, "bin", "fails.sh");
  writeFileSync(binaryPath, '#!/bin/sh\necho > "$STARTED"\nread line < "$GO"\nexit 4\n', { mode: 0o755 });
  world.define({ serviceName: "svc", binaryPath, labels: { "exec.env.STARTED": started, "exec.env.GO": go } });
  const hellos = Array.from({ length: 50 }, () => launching.refused("svc"));
  await readFile(started);
  // All have been read by the broker once another Hello of the same kind was answered after them.
  await launching.refused("none");
  await writeFile(go, "\n");
  const reasons = new Set((await Promise.all(hellos)).map((refused) => refused.reason));
  assert.deepEqual([...reasons], ["backend spawn failed: backend exited with status 4 before it was ready"]);
  assert.equal(logLines(broker).filter((line) => line.type === "backend-launching").length, 1);
});

test("a slow launch and failing ones delay no other backend, nor another version of their own", async (t) => {
  const launching = await createLaunching(t);
  const { world } = launching;
  const started = makeFifo(join(world.root, "started"));
  const go = makeFifo(join(world.root, "go"));
  world.define({
    serviceName: "slow",
    binary: "waits.mjs",
    labels: { "exec.env.STARTED": started, "exec.env.GO": go },
  });
  world.define({ serviceName: "dead", binary: "exits-at-once.mjs" });
  world.define({ serviceName: "fast", binary: "obeys.mjs" });
  let slowIsUp = false;
  const slow = launching.negotiated("slow").then(() => {
    slowIsUp = true;
  });
  await readFile(started);
  const dead = launching.refused("dead");
  await launching.negotiated("fast", "1.0.0");
  await launching.negotiated("fast", "2.0.0");
  await dead;
  assert.equal(slowIsUp, false);
  await writeFile(go, "");
  await slow;
});

test("after three failed launches the fourth Hello is refused until the window ends; another version is not", async (t) => {
  const launching = await createLaunching(t);
  const { world } = launching;
  const flag = join(world.root, "flag");
  writeFileSync(flag, "");
  world.define({ serviceName: "svc", binary: "obeys.mjs", labels: { "exec.env.FAILS_WHILE": flag } });
  for (let attempt = 0; attempt < 3; attempt++) assert.equal((await launching.refused("svc")).code, 3);
  const fourth = await launching.refused("svc");
  assert.equal(fourth.code, 4);
  assert.equal(fourth.reason, "backend spawn budget exhausted");
  assert.ok(fourth.retryAfterMs > 0n && fourth.retryAfterMs <= 30_000n, `retry after ${fourth.retryAfterMs}`);
  rmSync(flag);
  // Mended, and still refused: the window decides.
  assert.equal((await launching.refused("svc")).code, 4);
  await launching.negotiated("svc", "2.0.0");
});

test("a launch that succeeds gives the whole budget back", async (t) => {
  const launching = await createLaunching(t);
  const { world, broker } = launching;
  const flag = join(world.root, "flag");
  world.define({ serviceName: "svc", binary: "obeys.mjs", labels: { "exec.env.FAILS_WHILE": flag } });
  const fail = async (times: number): Promise<void> => {
    writeFileSync(flag, "");
    for (let attempt = 0; attempt < times; attempt++) assert.equal((await launching.refused("svc")).code, 3);
    rmSync(flag);
  };
  await fail(2);
  await launching.negotiated("svc");
  const [pid] = launching.pids("svc");
  process.kill(pid as number, "SIGKILL");
  await processEnd(world, pid as number);
  await broker.logged(/running -> absent/);
  await fail(2);
  await launching.negotiated("svc");
});
