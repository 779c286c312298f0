import assert from "node:assert/strict";
import { test } from "node:test";
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
