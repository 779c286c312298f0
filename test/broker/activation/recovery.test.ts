/** Backends that crash although they were ready: launched again, but not for ever, and visibly. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import test from "node:test";
import { createLaunching, type Launching, logLines, order, processEnd } from "../../support/launching.ts";
import { RPB } from "../../support/world.ts";

async function crash(launching: Launching): Promise<void> {
  const pid = launching.pids("svc").at(-1) as number;
  process.kill(pid, "SIGKILL");
  await processEnd(launching.world, pid);
  await launching.broker.logged(new RegExp(`"backend-crashed".*"pid":${pid}`));
}

test("a backend that keeps crashing after it is ready is launched three times, then refused with what happened", async (t) => {
  const launching = await createLaunching(t);
  const { world, broker } = launching;
  world.define({ serviceName: "svc", binary: "obeys.mjs" });
  for (let round = 0; round < 3; round++) {
    const { backendPipe } = await launching.negotiated("svc");
    await order(backendPipe, "write-output");
    await crash(launching);
  }
  const refused = await launching.refused("svc");
  assert.deepEqual([refused.code, refused.reason], [4, "backend spawn budget exhausted"]);
  assert.ok(refused.retryAfterMs > 0n && refused.retryAfterMs <= 30_000n);
  assert.deepEqual([refused.details.crashes, refused.details.exit], ["3", "signal SIGKILL"]);
  assert.match(refused.details.log_tail ?? "", /0123456789abcde$/);
  assert.equal(launching.pids("svc").length, 3);
  const events = logLines(broker).filter((line) => line.type === "backend-crashed");
  // The first is followed by a launch at once, the second by one after a while.
  assert.deepEqual(
    events.map((line) => line.crashes),
    [1, 2, 3],
  );
  assert.equal(events[0]?.delay_ms, 0);
  assert.ok(Number(events[1]?.delay_ms) > 0);
  const { stdout } = await world.run(process.execPath, [RPB, "status", "--socket", broker.endpoint, "--json"]);
  const [row] = JSON.parse(stdout).crashes;
  assert.deepEqual(
    [row.service_name, row.service_version, row.crashes, row.last_exit],
    ["svc", "1.0.0", 3, "signal SIGKILL"],
  );
  assert.match(row.last_log_lines, /0123456789abcde$/);
  // Another version has not crashed.
  await launching.negotiated("svc", "2.0.0");
});

test("the launch after the second crash waits, and the Hello waits with it", async (t) => {
  const launching = await createLaunching(t);
  launching.world.define({ serviceName: "svc", binary: "obeys.mjs" });
  for (let round = 0; round < 2; round++) {
    await launching.negotiated("svc");
    await crash(launching);
  }
  const second = logLines(launching.broker)
    .filter((line) => line.type === "backend-crashed")
    .at(-1);
  assert.ok(Number(second?.delay_ms) > 0);
  const replies = await Promise.all([1, 2, 3].map(() => launching.negotiated("svc")));
  assert.equal(new Set(replies.map((reply) => reply.backendPipe)).size, 1);
  assert.equal(launching.pids("svc").length, 3);
});

test("a version that another broker is launching is not launched beside it, and no attempt is counted", async (t) => {
  const launching = await createLaunching(t);
  const { world } = launching;
  world.define({ serviceName: "svc", binary: "obeys.mjs" });
  const lock = join(world.runtime, "svc-1.0.0.spawn.lock");
  const holder = world.track(spawn("flock", ["--exclusive", lock, "cat"], { stdio: ["pipe", "pipe", "inherit"] }));
  // An echo: it holds the lock.
  holder.stdin?.write("x");
  await once(holder.stdout as NodeJS.ReadableStream, "data");
  for (let attempt = 0; attempt < 5; attempt++) {
    const refused = await launching.refused("svc");
    assert.deepEqual(
      [refused.code, refused.reason, refused.retryAfterMs],
      [4, "backend spawn already in progress", 1000n],
    );
  }
  holder.stdin?.end();
  await once(holder, "exit");
  await launching.negotiated("svc");
});

test("a backend that ends by itself is not handed out from the moment it has taken its endpoint away", async (t) => {
  const launching = await createLaunching(t);
  const { world, broker } = launching;
  world.define({ serviceName: "svc", binary: "reverse.mjs" });
  const { backendPipe } = await launching.negotiated("svc");
  const pid = launching.pids("svc")[0] as number;
  process.kill(pid, "SIGTERM");
  await processEnd(world, pid);
  await broker.logged(/running -> (absent|draining)/);
  assert.notEqual((await launching.negotiated("svc")).backendPipe, backendPipe);
});
