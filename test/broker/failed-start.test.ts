/** A broker in a program of its own that cannot begin: what it had taken is free again. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { startBroker } from "../../src/broker/broker.ts";
import type { BrokerOptions } from "../../src/broker/options.ts";
import { createWorld } from "../support/world.ts";

test("a broker whose start fails after it has its address gives it back, and the next one gets it", async (t) => {
  const world = await createWorld(t);
  const { platform, env, definitions, logs } = world;
  const endpoint = join(world.runtime, "b.sock");
  const options: BrokerOptions = {
    platform,
    env,
    endpoint,
    definitionDirectory: definitions,
    definitionDirectorySource: "test",
    logDirectory: logs,
  };
  const noWatches = {
    ...platform.files,
    watch: () => {
      throw new Error("no more watches");
    },
  };
  await assert.rejects(startBroker({ ...options, platform: { ...platform, files: noWatches } }), /no more watches/);
  assert.equal(existsSync(endpoint), false);

  const broker = await startBroker(options);
  assert.equal(existsSync(endpoint), true);
  await broker.stop({ reason: "requested" });
});
