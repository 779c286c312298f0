/** The built command lines as processes of a world. */
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { COMPAT, type Finished, RPB, type World } from "./world.ts";

type More = { env?: Record<string, string>; input?: string };

export function rpb(world: World, args: readonly string[], more: More = {}): Promise<Finished> {
  return world.run(process.execPath, [RPB, ...args], more);
}

export function compat(world: World, args: readonly string[], more: More = {}): Promise<Finished> {
  return world.run(process.execPath, [COMPAT, ...args], more);
}

/** A daemon that knows nothing of brokers: takes its listener as descriptor 3 and sends back what it gets. */
const ECHO = `#!${process.execPath}
const net = require("node:net");
net.createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket)).listen({ fd: 3 });
`;

/** Never gets ready, and does not care to be asked to end. */
const DEAF = `#!/bin/sh
trap '' TERM
exec sleep 600
`;

/** Defines service `name` on one of these programs. */
export function defineProgram(world: World, name: string, kind: "echo" | "deaf"): void {
  const path = join(world.root, "bin", kind);
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  writeFileSync(path, kind === "echo" ? ECHO : DEAF);
  chmodSync(path, 0o755);
  world.define({ serviceName: name, binaryPath: path, labels: { "exec.ready": kind === "echo" ? "listen" : "probe" } });
}

/** Kills a process that is not a child of the test's and resolves when it has ended. */
export async function kill(world: World, pid: number): Promise<void> {
  const handle = world.platform.processes.open(pid);
  assert.ok(handle !== undefined, `process ${pid} is not there`);
  // Waiting for another process does not keep ours alive.
  const alive = setInterval(() => {}, 1000);
  handle.kill();
  await new Promise<void>((resolve) => handle.onExit(resolve));
  clearInterval(alive);
  handle.close();
}
