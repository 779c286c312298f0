/**
 * Whatever fails below them, public calls and verbs answer with a code, and a client's fallback is called. Every call of
 * node:fs, node:os, spawn and process.cwd() that they make fails once (support/faults.mjs).
 */
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { createWorld, PROJECT, type RunningBroker, type World } from "../support/world.ts";

interface Swept {
  readonly wrong: readonly string[];
  readonly met: Readonly<Record<string, number>>;
}

async function served(t: TestContext): Promise<{ world: World; broker: RunningBroker }> {
  const world = await createWorld(t);
  world.define({ serviceName: "demo", isolation: "shared" });
  const broker = await world.startBroker();
  return { world, broker };
}

async function sweep(world: World, script: string, endpoint: string): Promise<Swept> {
  const path = join(PROJECT, "test/umbrella/support", script);
  const { code, stdout, stderr } = await world.run(process.execPath, [path, endpoint, world.root, "demo"]);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout.slice(stdout.lastIndexOf("\n{") + 1));
}

function assertCoded(t: TestContext, { wrong, met }: Swept): void {
  t.diagnostic(
    Object.entries(met)
      .map(([name, count]) => `${count} in ${name}`)
      .join(", "),
  );
  assert.deepEqual(wrong.slice(0, 5), [], `${wrong.length} are wrong`);
  assert.ok(Object.values(met).reduce((sum, count) => sum + count, 0) > 5 * Object.keys(met).length);
}

test("verbs", async (t) => {
  const { world, broker } = await served(t);
  assertCoded(t, await sweep(world, "sweep-verbs.mjs", broker.endpoint));
  await stop(world, broker);
});

test("entries", async (t) => {
  const { world, broker } = await served(t);
  mkdirSync(join(world.root, "definitions"), { mode: 0o700 });
  assertCoded(t, await sweep(world, "sweep-entries.mjs", broker.endpoint));
  await stop(world, broker);
});

async function stop(world: World, broker: RunningBroker): Promise<void> {
  const rpb = join(PROJECT, "dist/cli/rpb.cjs");
  const { code, stderr } = await world.run(process.execPath, [
    rpb,
    "stop",
    "--socket",
    broker.endpoint,
    "--with-backends",
  ]);
  assert.equal(code, 0, stderr);
}
