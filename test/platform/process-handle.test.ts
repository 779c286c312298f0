/** A backend that has just died must not be given to the next client, whatever the event loop has got round to. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { loadPlatform } from "../../src/platform/platform.ts";
import type { ProcessHandle } from "../../src/platform/ports/index.ts";
import { openedSince, openNow } from "../support/peers/pairs.ts";

const { processes } = await loadPlatform();

test("the end of watched processes is seen in the same turn, before anybody is told, and leaves nothing open", async (t) => {
  const before = openNow();
  // More than are asked about with one system call.
  const children = Array.from({ length: 20 }, () => spawn("sleep", ["1000"], { stdio: "ignore" }));
  t.after(() => {
    for (const child of children) child.kill("SIGKILL");
  });
  await Promise.all(children.map((child) => once(child, "spawn")));
  const handles = children.map((child) => {
    const handle = processes.open(Number(child.pid));
    assert.ok(handle);
    return handle;
  });
  let told = 0;
  const ends = handles.map((handle) => new Promise<void>((resolve) => handle.onExit(() => resolve(void told++))));
  const [, first, ...others] = handles;
  assert.ok(first);
  // Each of the ways it finds out: the first time it is asked, and later.
  const [unasked, ...asked] = handles;
  assert.ok(asked.every((handle) => handle.isAlive() && handle.isAlive()));
  const exits = Promise.all(children.map((child) => once(child, "exit")));

  first.kill();
  awaitDeath(first.pid);
  assert.ok(isSeenDead(first));
  assert.ok(others.every((handle) => handle.isAlive()));

  for (const handle of [unasked, ...others]) handle?.kill();
  for (const { pid } of handles) awaitDeath(pid);
  assert.ok(handles.every(isSeenDead));
  assert.equal(told, 0);

  await Promise.all(ends);
  assert.ok(handles.every((handle) => !handle.isAlive()));
  for (const handle of handles) handle.close();
  await exits;
  assert.deepEqual(openedSince(before), []);
});

test("a handle that was closed signals nothing, although its descriptor's number stands for another process by now", async (t) => {
  const [first, bystander] = [1, 2].map(() => spawn("sleep", ["1000"], { stdio: "ignore" })) as [
    ChildProcess,
    ChildProcess,
  ];
  t.after(() => {
    for (const child of [first, bystander]) child.kill("SIGKILL");
  });
  await Promise.all([once(first, "spawn"), once(bystander, "spawn")]);
  const closed = processes.open(Number(first.pid));
  closed?.close();
  // The lowest number that is free: the one that was just closed.
  const other = processes.open(Number(bystander.pid));
  t.after(() => other?.close());
  assert.equal(closed?.kill(), false);
  assert.equal(closed?.isAlive(), false);
  assert.equal(other?.askToEnd(), true);
});

/** Without a turn of the event loop. The kernel shows a zombie a moment before it tells those who hold a pidfd. */
function isSeenDead(handle: ProcessHandle): boolean {
  for (let tries = 0; tries < 1_000_000; tries++) if (!handle.isAlive()) return true;
  return false;
}

/** Without a turn of the event loop. What is dead and not waited for is a zombie. */
function awaitDeath(pid: number): void {
  for (;;) {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    if (stat[stat.lastIndexOf(")") + 2] === "Z") return;
  }
}
