/**
 * Sockets that block, across a hot restart: the new process sets O_NONBLOCK on what it accepts on and on connections that are relayed to
 * it, and clears it again on those that it hands over.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import test from "node:test";
import { Deadline } from "../../../src/base/clock.ts";
import { brokerRoundTrip, DIRECT, V1 } from "../../support/handing.ts";
import { helloBytes } from "../../support/peers/raw-peer.ts";
import { createRestarting } from "../../support/restarting.ts";

test("clients that connected before a restart are handed to a python backend by the new process, and by the old one before", async (t) => {
  const at = await createRestarting(t);
  const journal = join(at.world.root, "svc.journal");
  at.world.define({ serviceName: "svc", binary: "hands-blocking.py", labels: { "exec.env.JOURNAL": journal } });
  const { clock, transport } = at.world.platform;
  const deadline = Deadline.after(clock, 60_000);
  const before = await at.raw("svc", DIRECT);
  assert.equal(await before.knock(), 0x5a);
  const hello = helloBytes({ serviceName: "svc", clientCapabilities: DIRECT });
  const silent = await transport.connect(at.broker.endpoint, deadline);
  const halfway = await transport.connect(at.broker.endpoint, deadline);
  await halfway.writeAll(hello.subarray(0, 20), deadline);
  // Both are watched by now.
  await brokerRoundTrip(at);
  assert.equal((await at.restart()).code, 0);
  await silent.writeAll(hello, deadline);
  await halfway.writeAll(hello.subarray(20), deadline);
  for (const connection of [silent, halfway]) {
    await connection.writeAll(Buffer.of(0xc3), deadline);
    for (let last: number | undefined; last !== 0x5a; ) {
      const bytes = await connection.readSome(4096, deadline);
      assert.ok(bytes.length > 0, at.journal("svc").join("\n"));
      last = bytes.at(-1);
    }
    connection.close();
  }
  await at.firstEnded();
  // One that was handed over by the old process goes on, and one that comes to the new one begins.
  assert.equal(await before.knock(), 0x5a);
  before.connection.close();
  const after = await at.raw("svc", V1);
  assert.equal((await after.event())?.ack.accepted, true);
  assert.equal(await after.knock(), 0x5a);
  after.connection.close();
  assert.deepEqual(
    at.journal("svc").filter((line) => /nonblocking=True|failed/.test(line)),
    [],
  );
  assert.equal(at.journal("svc").filter((line) => line.startsWith("client")).length, 4);
});
