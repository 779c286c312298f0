/** Descriptors ride on bytes: each arrives with its byte, close-on-exec, once, and is never lost to an error. */

import assert from "node:assert/strict";
import { closeSync, mkdtempSync, openSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { Deadline } from "../../src/base/clock.ts";
import { hasCode } from "../../src/base/errors.ts";
import { fdOf, lend } from "../../src/platform/posix/descriptors.ts";
import { createManualClock } from "../../src/testing/manual-clock.ts";
import { createPair, openOn, type Pair } from "../support/peers/pairs.ts";
import { flagsOf, O_CLOEXEC } from "../support/process-facts.ts";

interface Sending extends Pair {
  /** A descriptor on `path`, whose content is "cargo". */
  readonly cargo: number;
  readonly path: string;
  /** Received ones are closed when the test is over. */
  receive(length: number): Promise<{ text: string; descriptors: readonly number[] }>;
}

async function createSending(t: TestContext): Promise<Sending> {
  const directory = realpathSync(mkdtempSync(join(tmpdir(), "d")));
  const path = join(directory, "cargo");
  writeFileSync(path, "cargo");
  const cargo = openSync(path, "r");
  t.after(() => {
    for (const fd of openOn(path)) closeSync(fd);
    rmSync(directory, { recursive: true });
  });
  const pair = await createPair(t);
  return {
    ...pair,
    cargo,
    path,
    async receive(length) {
      const { bytes, received } = await pair.near.receiveExactly(length, pair.never);
      return { text: bytes.toString(), descriptors: received.map(fdOf) };
    },
  };
}

test("one descriptor arrives with its bytes, as a duplicate of our own", async (t) => {
  const { far, never, cargo, path, receive } = await createSending(t);
  await far.sendWithDescriptor(Buffer.from("hello"), lend(cargo), never);
  const { text, descriptors } = await receive(5);
  const [fd, ...others] = descriptors;
  assert.deepEqual([text, others], ["hello", []]);
  assert.ok(fd !== undefined && fd !== cargo);
  assert.equal(flagsOf(fd) & O_CLOEXEC, O_CLOEXEC);
  assert.equal(readFileSync(fd, "utf8"), "cargo");
  assert.deepEqual(
    openOn(path),
    [cargo, fd].sort((a, b) => a - b),
    "the sender keeps its own",
  );
});

test("bytes without a descriptor bring none, waited for or not", async (t) => {
  const { far, never, receive } = await createSending(t);
  await far.writeAll(Buffer.from("plain"), never);
  assert.deepEqual(await receive(5), { text: "plain", descriptors: [] });
  const waiting = receive(4);
  await far.writeAll(Buffer.from("more"), never);
  assert.deepEqual(await waiting, { text: "more", descriptors: [] });
  far.close();
  assert.deepEqual(await receive(4), { text: "", descriptors: [] });
});

test("several messages read as one bring all their descriptors, in order", async (t) => {
  const { far, never, cargo, path, receive } = await createSending(t);
  for (const part of ["aa", "bb", "cc"]) await far.sendWithDescriptor(Buffer.from(part), lend(cargo), never);
  const { text, descriptors } = await receive(6);
  assert.deepEqual([text, descriptors.length], ["aabbcc", 3]);
  assert.equal(openOn(path).length, 4);
});

test("a descriptor comes with the first byte of its message, however the reads are cut", async (t) => {
  const { far, never, cargo, receive } = await createSending(t);
  await far.writeAll(Buffer.from("before"), never);
  await far.sendWithDescriptor(Buffer.from("message"), lend(cargo), never);
  await far.writeAll(Buffer.from("after"), never);
  const seen = [];
  for (const length of [6, 1, 6, 5]) {
    const { text, descriptors } = await receive(length);
    seen.push([text, descriptors.length]);
  }
  assert.deepEqual(seen, [
    ["before", 0],
    ["m", 1],
    ["essage", 0],
    ["after", 0],
  ]);
});

test("a message for which there is little or no room arrives whole, with one descriptor", async (t) => {
  const { platform, never, cargo } = await createSending(t);
  const clock = createManualClock();
  const message = Buffer.alloc(64 * 1024, "x");
  // From more room than it needs to none at all (net.core.wmem_default is 208 KiB).
  for (let filler = 64; filler <= 256; filler += 8) {
    const { ours: near, theirs } = platform.transport.pair();
    const far = platform.transport.adoptConnection(theirs.take());
    // Whatever fits; a deadline that has passed does not wait for more.
    const fill = async (): Promise<void> => far.writeAll(Buffer.alloc(filler * 1024), Deadline.after(clock, 0));
    await fill().catch(() => undefined);
    const send = async (): Promise<void> => far.sendWithDescriptor(message, lend(cargo), never);
    const sending = send().finally(() => far.close());
    const { bytes, received } = await near.receiveExactly(1024 * 1024, never);
    await sending;
    assert.deepEqual([bytes.subarray(-message.length), received.length], [message, 1], `behind ${filler} KiB`);
    for (const each of received) closeSync(fdOf(each));
    near.close();
  }
});

test("what was received is closed when the rest does not come", async (t) => {
  const { near, far, never, cargo, path } = await createSending(t);
  const clock = createManualClock();
  await far.sendWithDescriptor(Buffer.from("half"), lend(cargo), never);
  const late = near.receiveExactly(8, Deadline.after(clock, 100));
  assert.equal(openOn(path).length, 2, "it is here already");
  clock.advance(100);
  await assert.rejects(
    async () => late,
    (error) => hasCode(error, "DEADLINE_EXCEEDED"),
  );
  assert.deepEqual(openOn(path), [cargo]);

  await far.sendWithDescriptor(Buffer.from("half"), lend(cargo), never);
  const closed = near.receiveExactly(8, never);
  near.close();
  await assert.rejects(
    async () => closed,
    (error) => hasCode(error, "IO_FAILED"),
  );
  assert.deepEqual(openOn(path), [cargo]);
});

test("fewer bytes at the end of the stream still bring their descriptor, which is the caller's", async (t) => {
  const { far, never, cargo, receive } = await createSending(t);
  await far.sendWithDescriptor(Buffer.from("half"), lend(cargo), never);
  far.close();
  const { text, descriptors } = await receive(8);
  assert.deepEqual([text, descriptors.length], ["half", 1]);
});

test("sending fails without a trace when nobody listens or the descriptor is none", async (t) => {
  const { near, far, never, cargo, path } = await createSending(t);
  const errno = (name: string) => (error: unknown) => hasCode(error, "IO_FAILED") && error.details.errno === name;
  await assert.rejects(async () => far.sendWithDescriptor(Buffer.from("x"), lend(1_000_000), never), errno("EBADF"));
  near.close();
  await assert.rejects(async () => far.sendWithDescriptor(Buffer.from("x"), lend(cargo), never), errno("EPIPE"));
  assert.deepEqual(openOn(path), [cargo]);
});

test("a send that has no room ends at its deadline and has sent nothing", async (t) => {
  const { near, far, never, cargo, path } = await createSending(t);
  const clock = createManualClock();
  const clog = far.writeAll(Buffer.alloc(4 * 1024 * 1024), Deadline.after(clock, 1));
  clock.advance(1);
  await assert.rejects(
    async () => clog,
    (error) => hasCode(error, "DEADLINE_EXCEEDED"),
  );
  const sending = far.sendWithDescriptor(Buffer.from("x"), lend(cargo), Deadline.after(clock, 1));
  clock.advance(1);
  await assert.rejects(
    async () => sending,
    (error) => hasCode(error, "DEADLINE_EXCEEDED"),
  );
  far.close();
  const { received } = await near.receiveExactly(8 * 1024 * 1024, never);
  assert.deepEqual([received, openOn(path)], [[], [cargo]]);
});
