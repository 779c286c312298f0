/** A client, programs and shells in surroundings in which something lacks, and what is asserted of their answers. */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { ERROR_TABLE } from "../../../src/base/errors.ts";
import { createWorld, type Finished, PROJECT, RPB, type World } from "../../support/world.ts";

const ROOT = process.getuid?.() === 0;
export const AS_ROOT = ROOT ? {} : { skip: "mounts need root" };
export const REACH = join(PROJECT, "test/umbrella/support/reach.mjs");
export const ENTRY = join(PROJECT, "dist/client/index.js");
export const NODE = process.execPath;
const EXITS = new Set<number>(Object.values(ERROR_TABLE).map(({ exit }) => exit));

interface Reached {
  readonly route?: string;
  readonly thrown?: string;
  readonly ms: number;
  readonly fallback?: string;
  readonly message?: string;
}

export async function demoWorld(t: TestContext): Promise<World> {
  const world = await createWorld(t);
  world.env.CLIENT_ENTRY = ENTRY;
  world.define({ serviceName: "demo", isolation: "shared" });
  return world;
}

/** A shell script in which "$0" is Node; `set -e` is on. */
export function shell(world: World, script: string, env: Record<string, string> = {}): Promise<Finished> {
  return world.run("/bin/bash", ["-ec", script, NODE], { env });
}

export function reached({ stdout, stderr }: Finished): Reached {
  assert.match(stdout, /^\{.*\}$/m, stderr);
  return JSON.parse(stdout);
}

/** A code of the table and its exit status, in lines of ours: no trace, no fault of ours, no signal. */
export function assertCoded({ code, signal, stdout, stderr }: Finished, what: string): void {
  const text = `${what}: exit ${code}, ${signal}\n${stdout}${stderr}`;
  assert.equal(signal, null, text);
  assert.ok(code === 0 || code === 1 || (EXITS.has(code as number) && code !== 70), text);
  assert.doesNotMatch(stdout + stderr, /INTERNAL|^\s+at .*:\d+:\d+/m, text);
  if (code !== 0) assert.match(stderr, /^(rpb: \[[A-Z_]+\]|running-process-broker)/m, text);
}

export async function stopAll(world: World, env: Record<string, string> = {}): Promise<void> {
  const stopped = await world.run(NODE, [RPB, "stop", "--all", "--with-backends"], { env });
  assert.equal(stopped.code, 0, stopped.stderr);
}

export const VERBS = [
  "status",
  "events",
  "list-instances",
  "service list",
  "service check demo",
  "why demo",
  "logs demo",
  "dump",
];
