/** O_NONBLOCK belongs to the open file description: what is given to others is left as they expect it (docs/protocol.md). */

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, unlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { Deadline } from "../../src/base/clock.ts";
import { loadPlatform } from "../../src/platform/platform.ts";
import type { Connection } from "../../src/platform/ports/index.ts";
import { fdOf, lend, receivedOf } from "../../src/platform/posix/descriptors.ts";
import { createManualClock } from "../../src/testing/manual-clock.ts";
import { flagsOf, O_NONBLOCK } from "../support/process-facts.ts";

const never = Deadline.never(createManualClock());
const isNonBlocking = (fd: number): boolean => (flagsOf(fd) & O_NONBLOCK) !== 0;

async function setUp(t: TestContext) {
  const platform = await loadPlatform();
  const directory = mkdtempSync(join(tmpdir(), "b-"));
  t.after(() => rmSync(directory, { recursive: true }));
  return { ...platform, path: join(directory, "s") };
}

test("a listener for a child has no O_NONBLOCK; a process that adopts it sets the flag before it accepts", async (t) => {
  const { transport, path } = await setUp(t);
  const own = transport.listen(path);
  assert.equal(isNonBlocking(fdOf(own.transferable)), true);
  own.close();
  unlinkSync(path);
  const fd = transport.listen(path, { blocking: true }).takeFd();
  assert.equal(isNonBlocking(fd), false);
  const adopted = transport.adoptListener(receivedOf(fd));
  t.after(() => adopted.close());
  assert.equal(isNonBlocking(fd), true);
});

test("the end of a pair that a child gets blocks unless it was asked otherwise", async () => {
  const { transport } = await loadPlatform();
  for (const theirsBlocking of [true, false]) {
    const { ours, theirs } = transport.pair({ theirsBlocking });
    assert.equal(isNonBlocking(fdOf(theirs.transferable)), !theirsBlocking);
    ours.close();
    transport.adoptConnection(theirs.take()).close();
  }
});

/** Both ends of a connection as a broker has it: accepted, with a client at the other end. */
async function accepted(t: TestContext): Promise<{ near: Connection; client: Connection }> {
  const { transport, path } = await setUp(t);
  const listener = transport.listen(path);
  t.after(() => listener.close());
  const client = await transport.connect(path, never);
  const near = await new Promise<Connection>((resolve) =>
    listener.accept({ onConnection: resolve, onError: () => assert.fail() }),
  );
  t.after(() => {
    near.close();
    client.close();
  });
  return { near, client };
}

test("a connection that was given away stays blocking whatever is done with our duplicate, and none of it blocks us", async (t) => {
  for (const waitedBefore of [false, true]) {
    await t.test(waitedBefore ? "its request was waited for" : "its request was there", async (t) => {
      const { near, client } = await accepted(t);
      // libuv sets the flag for the wait.
      const first = waitedBefore ? near.readExactly(1, never) : undefined;
      await client.writeAll(Buffer.of(1), never);
      await (first ?? near.readExactly(1, never));
      near.setBlocking(true);
      assert.equal(isNonBlocking(fdOf(near.transferable)), false);

      assert.equal(near.readNow(1), undefined);
      assert.equal(near.receiveNow(1), undefined);
      const reading = near.readSome(10, never);
      const receiving = near.writeAll(Buffer.alloc(4 * 1024 * 1024), never);
      assert.ok(reading instanceof Promise && receiving instanceof Promise, "both wait, and not in the call");
      assert.equal(near.sendNow(Buffer.of(1)), 0);
      assert.equal(isNonBlocking(fdOf(near.transferable)), false);
      await client.writeAll(Buffer.from("answer"), never);
      assert.equal((await reading).toString(), "answer");
      await client.readExactly(4 * 1024 * 1024, never);
      await receiving;
      assert.equal(isNonBlocking(fdOf(near.transferable)), false);
      // And a message with a descriptor.
      const { bytes } = await Promise.resolve(near.sendWithDescriptor(Buffer.of(7), lend(0), never)).then(() =>
        client.receiveExactly(1, never),
      );
      assert.equal(bytes[0], 7);
      const waiting = near.receiveExactly(1, never);
      await client.writeAll(Buffer.of(8), never);
      assert.equal((await waiting).bytes[0], 8);
      assert.equal(isNonBlocking(fdOf(near.transferable)), false);
    });
  }
});

test("a connection can be given away with O_NONBLOCK, also one that was never waited for", async (t) => {
  const { near, client } = await accepted(t);
  await client.writeAll(Buffer.of(1), never);
  await near.readExactly(1, never);
  near.setBlocking(false);
  assert.equal(isNonBlocking(fdOf(near.transferable)), true);
  near.setBlocking(true);
  assert.equal(isNonBlocking(fdOf(near.transferable)), false);
});

test("a wait ends with the connection, and leaves nothing open", async (t) => {
  const { near } = await accepted(t);
  near.setBlocking(true);
  const reading = Promise.resolve(near.readSome(1, never));
  near.close();
  await assert.rejects(reading, /closed during the operation/);
  near.setBlocking(true);
});
