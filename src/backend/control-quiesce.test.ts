/** A backend that its broker asks to quiesce, over a real control channel. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { connectable, DONE, gate, setUp } from "../../test/backend/support/control-bench.ts";
import { request, textOf } from "../../test/support/peers/raw-client.ts";

const IDLE = 1;
const MAINTENANCE = 3;

test("an idle backend that is asked to quiesce takes nothing new, answers and ends", async (t) => {
  const stopped: string[] = [];
  const { broker, backend, connect } = await setUp(t, { onStop: () => void stopped.push("onStop") });
  await broker.send({ case: "quiesce", value: { id: 5n, reason: IDLE, timeoutMs: 5_000n } });
  const { id, status } = await broker.next("outcome");
  assert.deepEqual([id, status, stopped], [5n, DONE, ["onStop"]]);
  assert.equal(await backend.closed, "quiesced");
  await broker.ended();
  await assert.rejects(connect());
});

test("a backend that has got work is not idle: it refuses, says why, and serves on", async (t) => {
  const { broker, backend, connect } = await setUp(t);
  const client = await connect();
  client.socket.write(request("a", 1n));
  await client.frame();
  await broker.send({ case: "quiesce", value: { id: 1n, reason: IDLE, timeoutMs: 5_000n } });
  const busy = await broker.next("outcome");
  assert.deepEqual([busy.status, busy.detail], [3, "1 open connections"]);
  client.socket.write(request("b", 2n));
  assert.equal(textOf(await client.frame()), "b");
  client.socket.destroy();
  while (backend.connections > 0) await new Promise(setImmediate);
  const lease = backend.lease("indexing");
  await broker.send({ case: "quiesce", value: { id: 2n, reason: IDLE, timeoutMs: 5_000n } });
  assert.equal((await broker.next("outcome")).detail, "1 leases (indexing)");
  lease.release();
});

test("the author's own code may refuse, and work that comes while it thinks is a refusal, too", async (t) => {
  const { opened, open } = gate();
  const asked = gate();
  let verdict: boolean | undefined = false;
  const { broker, backend } = await setUp(t, {
    async onQuiesce() {
      asked.open();
      await opened;
      return verdict as boolean;
    },
  });
  await broker.send({ case: "quiesce", value: { id: 1n, reason: IDLE, timeoutMs: 5_000n } });
  await asked.opened;
  const lease = backend.lease("came meanwhile");
  verdict = undefined;
  open();
  assert.equal((await broker.next("outcome")).detail, "1 leases (came meanwhile)");
  lease.release();
  verdict = false;
  await broker.send({ case: "quiesce", value: { id: 2n, reason: MAINTENANCE, timeoutMs: 5_000n } });
  assert.deepEqual([(await broker.next("outcome")).detail], ["the backend's own code refused"]);
});

test("for maintenance what is in flight is finished, leases included, before the outcome is sent", async (t) => {
  const { opened, open } = gate();
  const { broker, backend, connect } = await setUp(t, {
    protocol: 0xf001,
    handle: () => opened.then(() => Buffer.from("done")),
    // Not what ends it: a quiesce has no limit of its own.
    stopTimeoutMs: 1,
  });
  const client = await connect();
  client.socket.write(request("a", 1n));
  while ((await broker.next("leases")).requests === 0);
  const lease = backend.lease("saving");
  await broker.send({ case: "quiesce", value: { id: 1n, reason: MAINTENANCE, timeoutMs: 5_000n } });
  // Nothing new meanwhile.
  while (await connectable(connect));
  open();
  assert.equal(textOf(await client.frame()), "done");
  await client.over;
  // With no client connected any more it still waits for the lease, and answers what else it is asked.
  await broker.send({ case: "releaseHandles", value: { id: 2n, path: "/w", timeoutMs: 5_000n } });
  assert.equal((await broker.next("outcome")).id, 2n);
  lease.release();
  const outcome = await broker.next("outcome");
  assert.deepEqual([outcome.id, outcome.status], [1n, DONE]);
  assert.equal(await backend.closed, "quiesced");
});

test("a stop that comes upon a quiesce sets the limit that this has not", async (t) => {
  const { broker, backend, connect } = await setUp(t, {
    protocol: 0xf001,
    handle: () => new Promise<Uint8Array>(() => {}),
    stopTimeoutMs: 1,
  });
  const client = await connect();
  client.socket.write(request("never", 1n));
  while ((await broker.next("leases")).requests === 0);
  backend.lease("never released");
  await broker.send({ case: "quiesce", value: { id: 1n, reason: MAINTENANCE, timeoutMs: 5_000n } });
  while (await connectable(connect));
  await backend.stop();
  assert.equal(await backend.closed, "quiesced");
});
