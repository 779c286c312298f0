/** Records of backends that are wrong: no other process is touched, and no other backend adopted. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import {
  type BackendManifest,
  decodeBackendManifest,
  encodeBackendManifest,
} from "../../../src/model/backend-manifest.ts";
import { processEnd } from "../../support/launching.ts";
import type { World } from "../../support/world.ts";
import { createSuccession, kill, launchedByFirst, verdict } from "./support/succession.ts";

const HOST = { machineId: "", hostname: "" };

function manifestOf(backendPipe: string): BackendManifest {
  return decodeBackendManifest(readFileSync(`${backendPipe}.manifest`));
}

function forge(backendPipe: string, change: (manifest: BackendManifest) => Partial<BackendManifest>): void {
  const manifest = manifestOf(backendPipe);
  writeFileSync(`${backendPipe}.manifest`, encodeBackendManifest({ ...manifest, ...change(manifest) }, HOST));
}

/** A bystander whose pid records are made to name. */
async function bystander(world: World): Promise<number> {
  const child = world.track(spawn("/bin/sleep", ["600"], { stdio: "ignore", env: {} }));
  await once(child, "spawn");
  return child.pid as number;
}

for (const [what, change, verdictIs] of [
  ["a pid that was reused by another process", () => ({}), "reap"],
  ["a pid that was reused, with the executable of the stranger", () => ({ kernelExe: "/usr/bin/sleep" }), "reap"],
  ["another boot", (m: BackendManifest) => ({ identity: { ...m.identity, bootId: "another" } }), "reap"],
  ["another broker's endpoint", () => ({ brokerEndpoint: "/run/other.sock" }), undefined],
] as const) {
  test(`a record with ${what}: the stranger is not touched`, async (t) => {
    const { world, next } = await createSuccession(t);
    world.define({ serviceName: "svc", binary: "obeys.mjs" });
    const first = await next();
    const { backendPipe } = await first.negotiated("svc");
    const [pid] = first.pids("svc");
    await kill(first);
    process.kill(pid as number, "SIGKILL");
    await processEnd(world, pid as number);
    const stranger = await bystander(world);
    forge(backendPipe, (manifest) => {
      const identity = { ...manifest.identity, pid: stranger };
      return { identity, ...change({ ...manifest, identity }) };
    });
    const second = await next();
    if (verdictIs === undefined) {
      await second.negotiated("svc");
      assert.doesNotMatch(second.broker.log(), /backend-found/);
      for (const suffix of ["", ".manifest"]) rmSync(backendPipe + suffix);
    } else assert.equal((await verdict(second, backendPipe)).verdict, verdictIs);
    await second.negotiated("svc");
    await second.shutDown();
    assert.ok(world.platform.processes.inspect(stranger), "the stranger lives");
    assert.deepEqual(
      second.leftovers().filter((each) => each !== `process ${stranger}`),
      [],
    );
  });
}

test("a record that names a stranger's pid, start time and program, but not its identity, gets no signal", async (t) => {
  const { world, next, first, backendPipe, pid } = await launchedByFirst(t);
  const startToken = world.platform.processes.inspect(pid)?.startToken as string;
  await kill(first);
  // The right process, under a program it does not run: it is not what was launched.
  forge(backendPipe, () => ({ startToken, kernelExe: "/bin/another" }));
  const second = await next();
  const found = await verdict(second, backendPipe);
  assert.deepEqual([found.verdict, found.process], ["leave", "other-program"]);
  assert.notEqual((await second.negotiated("svc")).backendPipe, backendPipe);
  await second.shutDown();
  assert.ok(world.processes().includes(pid));
  process.kill(pid, "SIGKILL");
  await processEnd(world, pid);
  for (const suffix of ["", ".manifest"]) rmSync(backendPipe + suffix);
});

test("torn and foreign records are left alone, and their backend is not adopted", async (t) => {
  const { world, next, first, backendPipe, pid } = await launchedByFirst(t);
  await kill(first);
  const whole = readFileSync(`${backendPipe}.manifest`);
  writeFileSync(`${backendPipe}.manifest`, whole.subarray(0, whole.length - 7));
  writeFileSync(join(world.runtime, "x.sock.manifest"), "not a manifest");
  writeFileSync(join(world.runtime, "y.sock.manifest"), whole);
  writeFileSync(join(world.runtime, ".manifest"), whole);
  const second = await next();
  assert.notEqual((await second.negotiated("svc")).backendPipe, backendPipe);
  assert.doesNotMatch(second.broker.log(), /backend-found|launches-reaped/);
  await second.shutDown();
  assert.ok(world.processes().includes(pid));
  process.kill(pid, "SIGKILL");
  await processEnd(world, pid);
  const names = ["x.sock.manifest", "y.sock.manifest", ".manifest"].map((name) => join(world.runtime, name));
  for (const path of [...names, backendPipe, `${backendPipe}.manifest`]) rmSync(path);
});
