import assert from "node:assert/strict";
import { test } from "node:test";
import { needsDraining } from "../../src/platform/posix/sockets/readiness.ts";
import { createWorld } from "../support/world.ts";

// Regression: koffi's poll handles aborted the process (status 134) when one was still armed as it ended by itself.
test("a process that ends by itself with an armed exit watch ends with status 0", async (t) => {
  const world = await createWorld(t);
  const script = world.install("ends-with-armed-watch.mjs");
  for (let round = 0; round < 5; round++) {
    const { code, signal, stderr } = await world.run(process.execPath, [script]);
    assert.deepEqual({ code, signal }, { code: 0, signal: null }, stderr);
  }
});

test("a version of Node that was not tried is not relied upon to run promises by itself", () => {
  const relied = ["20.19.0", "20.20.2", "22.0.0", "22.23.9", "24.22.3", "26.0.0", "26.3.1"];
  const others = ["22.24.0", "24.23.0", "25.9.0", "26.4.0", "26.12.1", "27.0.0", "26.4.0-nightly2026", "unknown"];
  assert.deepEqual(relied.filter(needsDraining), []);
  assert.deepEqual(
    others.filter((version) => !needsDraining(version)),
    [],
  );
});

// Regression: from Node 26.4 on Node does not run the promises that koffi's callbacks queue, so every client waited for ever.
test("a process that is woken up by raw descriptors alone goes on", async (t) => {
  const world = await createWorld(t);
  const script = world.install("lives-on-raw-descriptors.mjs");
  const { code, stdout, stderr } = await world.run(process.execPath, [script]);
  assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: "done\n", stderr: "" });
});
