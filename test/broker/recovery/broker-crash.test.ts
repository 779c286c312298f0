/** A broker that dies in the middle of a launch: the next one at its endpoint cleans up after it, and after it only. */
import assert from "node:assert/strict";
import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import test from "node:test";
import { type Launching, launchingIn, makeFifo, processEnd, startLaunchingBroker } from "../../support/launching.ts";
import { createWorld } from "../../support/world.ts";

for (const bind of ["broker", "backend"]) {
  test(`a launch that a killed broker left behind is ended by the next one, which serves (exec.bind = ${bind})`, async (t) => {
    let second: Launching | undefined;
    t.after(() => second?.shutDown());
    const world = await createWorld(t);
    const started = makeFifo(join(world.root, "started"));
    const binaryPath = join(world.root, "bin", "never-ready.sh");
    // Also has a helper that left its session; both know the launch by their environment.
    writeFileSync(binaryPath, '#!/bin/sh\nsetsid sleep 601 &\necho $$ $! > "$STARTED"\nsleep 600 & wait\n', {
      mode: 0o755,
    });
    const labels = { "exec.bind": bind, "exec.ready_timeout": "10m", "exec.env.STARTED": started };
    world.define({ serviceName: "stuck", binaryPath, labels });
    world.define({ serviceName: "good", binary: "obeys.mjs", labels: { "exec.bind": bind } });

    const first = launchingIn(world, await startLaunchingBroker(world));
    const asked = first.hello("stuck").catch(() => undefined);
    const orphans = (await readFile(started, "utf8")).trim().split(" ").map(Number);
    first.broker.process.kill("SIGKILL");
    await first.broker.ended;
    assert.equal(await asked, undefined);
    assert.equal(readdirSync(world.runtime).filter((name) => name.endsWith(".launch")).length, 1);
    for (const pid of orphans) assert.ok(world.processes().includes(pid));

    second = launchingIn(world, await startLaunchingBroker(world));
    assert.match(await second.broker.logged(/launches-reaped/), /"count":1/);
    await Promise.all(orphans.map((pid) => processEnd(world, pid)));
    await second.negotiated("good");
    await second.shutDown();
    assert.deepEqual(second.leftovers(), []);
  });
}

test("launch records of other brokers, and files that are none, are left alone", async (t) => {
  let launching: Launching | undefined;
  t.after(() => launching?.shutDown());
  const world = await createWorld(t);
  const first = launchingIn(world, await startLaunchingBroker(world));
  await first.shutDown();
  const foreign = {
    "other-be-1.sock.launch": JSON.stringify({ broker_endpoint: join(world.runtime, "other.sock") }),
    "other-be-2.sock.launch": "",
    "other-be-3.sock.launch": '{"broker_endpoint": "/tr',
    "other-be-4.sock.launch": "null",
    "other-be-5.sock.launch": "[1]",
    "other-be-1.sock": "",
  };
  for (const [name, text] of Object.entries(foreign)) writeFileSync(join(world.runtime, name), text);
  launching = launchingIn(world, await startLaunchingBroker(world));
  await launching.shutDown();
  assert.doesNotMatch(launching.broker.log(), /launches-reaped/);
  assert.deepEqual(readdirSync(world.runtime), Object.keys(foreign).sort());
  for (const name of Object.keys(foreign)) rmSync(join(world.runtime, name));
});
