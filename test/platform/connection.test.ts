/** Connections move exactly the bytes that were asked for, and end in one of few ways. */

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { readSync } from "node:fs";
import { test } from "node:test";
import { Deadline } from "../../src/base/clock.ts";
import { hasCode } from "../../src/base/errors.ts";
import type { Received } from "../../src/platform/ports/index.ts";
import { fdOf, lend } from "../../src/platform/posix/descriptors.ts";
import { createManualClock } from "../../src/testing/manual-clock.ts";
import { createPair } from "../support/peers/pairs.ts";

const failedWith =
  (errno: string) =>
  (error: unknown): boolean =>
    hasCode(error, "IO_FAILED") && error.details.errno === errno;

test("a read takes no byte that was not asked for: another reader of the descriptor finds the rest", async (t) => {
  const { near, far, never } = await createPair(t);
  await far.writeAll(Buffer.from("framebehind it"), never);
  assert.equal((await near.readExactly(5, never)).toString(), "frame");
  const other = Buffer.alloc(64);
  assert.equal(other.toString("utf8", 0, readSync(fdOf(near.transferable), other, 0, 6, null)), "behind");
  const socket = near.release();
  t.after(() => socket.destroy());
  const [rest] = await once(socket, "data");
  assert.equal(String(rest), " it");
});

test("a read that waited takes no byte too many either", async (t) => {
  const { near, far, never } = await createPair(t);
  for (const [request, rest] of [
    ["first", "a"],
    ["second", "bc"],
    ["third", "def"],
  ] as const) {
    const reading = near.readExactly(request.length, never);
    await far.writeAll(Buffer.from(request.slice(0, 2)), never);
    await far.writeAll(Buffer.from(request.slice(2) + rest), never);
    assert.equal((await reading).toString(), request);
    const other = Buffer.alloc(64);
    assert.equal(other.toString("utf8", 0, readSync(fdOf(near.transferable), other)), rest);
  }
});

test("bytes come in pieces; at the end of the stream there are fewer, and then none", async (t) => {
  const { near, far, never } = await createPair(t);
  const reading = near.readExactly(10, never);
  for (const byte of "012") await far.writeAll(Buffer.from(byte), never);
  far.close();
  assert.equal((await reading).toString(), "012");
  assert.equal((await near.readExactly(1, never)).length, 0);
  assert.equal((await near.readExactly(0, never)).length, 0);
});

test("16 MiB go through whole while both sides do other things", async (t) => {
  const { near, far, never } = await createPair(t);
  const bytes = randomBytes(16 * 1024 * 1024);
  const sent = near.writeAll(bytes, never);
  const [received] = await Promise.all([
    far.readExactly(bytes.length, never),
    sent,
    // The other direction at the same time.
    far.writeAll(Buffer.from("ok"), never),
    near.readExactly(2, never),
  ]);
  const sha = (what: Buffer): string => createHash("sha256").update(what).digest("hex");
  assert.equal(sha(received), sha(bytes));
});

test("a deadline ends a read and a write, and what comes later can be read", async (t) => {
  const { near, far, never } = await createPair(t);
  const clock = createManualClock();
  const reading = near.readExactly(1, Deadline.after(clock, 100));
  const writing = near.writeAll(Buffer.alloc(4 * 1024 * 1024), Deadline.after(clock, 200));
  clock.advance(99);
  assert.equal(clock.pendingTimers, 2);
  clock.advance(1);
  await assert.rejects(
    async () => reading,
    (error) => hasCode(error, "DEADLINE_EXCEEDED"),
  );
  clock.advance(100);
  await assert.rejects(
    async () => writing,
    (error) => hasCode(error, "DEADLINE_EXCEEDED"),
  );
  assert.equal(clock.pendingTimers, 0);
  await far.writeAll(Buffer.from("late"), never);
  assert.equal((await near.readExactly(4, never)).toString(), "late");
  // A deadline that has passed fails what would wait, not what is there.
  const passed = Deadline.after(clock, 0);
  await assert.rejects(
    async () => near.readExactly(1, passed),
    (error) => hasCode(error, "DEADLINE_EXCEEDED"),
  );
  await far.writeAll(Buffer.from("!"), never);
  assert.equal((await near.readExactly(1, passed)).toString(), "!");
});

test("close ends a pending read and write, and everything after it fails", async (t) => {
  const { near, far, never } = await createPair(t);
  const clock = createManualClock();
  const pending = [
    near.readExactly(1, Deadline.after(clock, 100)),
    near.writeAll(Buffer.alloc(4 * 1024 * 1024), Deadline.after(clock, 100)),
  ];
  near.close();
  near.close();
  for (const one of pending) await assert.rejects(async () => one, failedWith("ECONNABORTED"));
  assert.equal(clock.pendingTimers, 0, "timers are gone with it");
  await assert.rejects(async () => near.readExactly(1, never), failedWith("EBADF"));
  await assert.rejects(async () => near.writeAll(Buffer.from("x"), never), failedWith("EBADF"));
  await assert.rejects(async () => near.receiveExactly(1, never), failedWith("EBADF"));
  await assert.rejects(async () => near.sendWithDescriptor(Buffer.from("x"), lend(0), never), failedWith("EBADF"));
  near.shutdown();
  assert.equal(near.openPeer(), undefined);
  assert.throws(() => near.release(), failedWith("EBADF"));
  await assert.rejects(async () => far.writeAll(Buffer.from("x"), never), failedWith("EPIPE"));
});

test("close during a later read of a connection that has read before ends it as well", async (t) => {
  const { near, far, never } = await createPair(t);
  for (const byte of ["1", "2", "3"]) {
    const reading = near.readExactly(1, never);
    await far.writeAll(Buffer.from(byte), never);
    assert.equal((await reading).toString(), byte);
  }
  const reading = near.readExactly(1, never);
  near.close();
  await assert.rejects(async () => reading, failedWith("ECONNABORTED"));
});

test("a peer that closes with our bytes unread makes reading fail with ECONNRESET", async (t) => {
  const { near, far, never } = await createPair(t);
  await near.writeAll(Buffer.from("unread"), never);
  far.close();
  await assert.rejects(async () => near.readExactly(1, never), failedWith("ECONNRESET"));
});

test("shutdown ends the stream for every duplicate of the descriptor", async (t) => {
  const { platform, near, far, never } = await createPair(t);
  // A second holder of near's end, as a backend is after a handoff.
  const channel = await createPair(t);
  await channel.near.sendWithDescriptor(Buffer.from("x"), near.transferable, never);
  const { received } = await channel.far.receiveExactly(1, never);
  const duplicate = platform.transport.adoptConnection(received[0] as Received);
  t.after(() => duplicate.close());
  await duplicate.writeAll(Buffer.from("alive"), never);
  assert.equal((await far.readExactly(5, never)).toString(), "alive");

  const reading = duplicate.readExactly(1, never);
  near.shutdown();
  assert.equal((await reading).length, 0);
  await assert.rejects(async () => duplicate.writeAll(Buffer.from("x"), never), failedWith("EPIPE"));
  assert.equal((await far.readExactly(1, never)).length, 0);
});

test("the other end of a pair is ourselves, and can be held as a process", async (t) => {
  const { near } = await createPair(t);
  assert.deepEqual(near.peer, { pid: process.pid, owner: process.geteuid?.(), identity: String(process.geteuid?.()) });
  const peer = near.openPeer();
  if (peer === undefined) return t.skip("this kernel has no SO_PEERPIDFD");
  assert.deepEqual([peer.pid, peer.isAlive()], [process.pid, true]);
  peer.close();
});
