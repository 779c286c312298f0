import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { Deadline } from "../base/clock.ts";
import { hasCode } from "../base/errors.ts";
import { loadPlatform } from "../platform/platform.ts";
import { createManualClock } from "../testing/manual-clock.ts";
import { HeldReply } from "./held-reply.ts";

const platform = await loadPlatform();

function setUp(t: TestContext) {
  const clock = createManualClock();
  const { ours, theirs } = platform.transport.pair();
  const client = platform.transport.adoptConnection(theirs);
  t.after(() => {
    ours.close();
    client.close();
  });
  const deadline = Deadline.after(platform.clock, 10_000);
  const held = new HeldReply(ours, Buffer.from("reply"), { clock, deadline, longestMs: 1 });
  /** What has come, nothing more than that being awaited. */
  const come = (): string | undefined => client.readNow(100)?.toString();
  return { clock, ours, client, held, come };
}

test("reply and what comes right after it arrive together, and nothing is left to do", async (t) => {
  const { clock, held, come } = setUp(t);
  assert.equal(come(), undefined);
  await held.sendWith(Buffer.from(" event"));
  assert.equal(come(), "reply event");
  assert.equal(clock.pendingTimers, 0);
});

test("a reply that has waited its time goes alone, and what comes after it, too", async (t) => {
  const { clock, held, come } = setUp(t);
  clock.advance(1);
  assert.equal(come(), "reply");
  await held.sendWith(Buffer.from(" event"));
  assert.equal(come(), " event");
});

test("what has been sent is not sent again", async (t) => {
  const { clock, held, come } = setUp(t);
  await held.send();
  clock.advance(10);
  await held.send();
  assert.equal(come(), "reply");
  assert.equal(come(), undefined);
});

test("a client that has left is noticed by whoever sends next", async (t) => {
  const { clock, client, held } = setUp(t);
  client.close();
  clock.advance(1);
  for (const send of [() => held.send(), () => held.sendWith(Buffer.from("event"))])
    await assert.rejects(send(), (error) => hasCode(error, "IO_FAILED"));
});
