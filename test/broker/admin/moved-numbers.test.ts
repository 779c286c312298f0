/**
 * Numbers of ours that have moved to the private range (docs/protocol.md, "Private numbers"). Guards against an old number
 * that still does something: the reference may give it a meaning of its own. Payloads are made by hand.
 */
import assert from "node:assert/strict";
import test from "node:test";
import { encodeRequest } from "../../../src/wire/envelope.ts";
import { type AdminReply, AdminReplyKind } from "../../../src/wire/messages.ts";
import { createLaunching } from "../../support/launching.ts";
import { adminReply, converse, negotiatedIn, sayHello } from "../../support/peers/raw-peer.ts";
import { createWorld } from "../../support/world.ts";

function varint(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...varint(value >>> 7)];
}
const number = (field: number, value: number): number[] => [...varint(field << 3), ...varint(value)];
const bytes = (field: number, text: string): number[] => [
  ...varint((field << 3) | 2),
  ...varint(text.length),
  ...Buffer.from(text),
];
const fixed64 = (field: number): number[] => [...varint((field << 3) | 1), ...Buffer.alloc(8, 0xff)];

const [STATUS, SHUTDOWN, WITH_BACKENDS] = [1, 21, 1021];

async function ask(endpoint: string, ...fields: number[][]): Promise<AdminReply> {
  const payload = Buffer.from(fields.flat());
  return adminReply(await converse(endpoint, encodeRequest({ payloadProtocol: 0xad01, payload, requestId: 1n })));
}

test("an old verb of ours is answered with exit code 2 and its new number, and nothing is done", async (t) => {
  const { broker } = await createLaunching(t);
  const answers = [
    [22, "unsupported admin verb 22: RELEASE_HANDLES of running-process-broker is 1022\n"],
    [23, "unsupported admin verb 23: RESTART of running-process-broker is 1023\n"],
    [24, "unsupported admin verb\n"],
    [1000, "unsupported admin verb\n"],
  ] as const;
  // With and without what the old request carried.
  for (const [verb, body] of answers)
    for (const more of [[], [number(2, 1), bytes(22, "/srv/tree"), number(23, 5000)]]) {
      const reply = await ask(broker.endpoint, number(1, verb), ...more);
      const { kind, exitCode, contentType } = reply;
      assert.deepEqual([kind, reply.body, exitCode, contentType], [AdminReplyKind.TEXT, body, 2, "text/plain"]);
    }
  const status = JSON.parse((await ask(broker.endpoint, number(1, STATUS), number(2, 1))).body) as object;
  assert.deepEqual([(status as { broker_pid: number }).broker_pid, broker.process.exitCode], [broker.pid, null]);
  assert.doesNotMatch(broker.log(), /broker-restart/);
});

test("the new numbers of both verbs are known", async (t) => {
  const { broker } = await createLaunching(t);
  const released = await ask(broker.endpoint, number(1, 1022), bytes(1022, "/srv/tree"), number(1023, 5000));
  assert.deepEqual([released.exitCode, released.body], [0, ""]);
  const relative = await ask(broker.endpoint, number(1, 1022), bytes(1022, "tree"));
  assert.equal(relative.exitCode, 2);
  assert.doesNotMatch(relative.body, /unsupported/);
  // No time at all: nothing is started, and the old process goes on.
  const restart = await ask(broker.endpoint, number(1, 1023), number(1023, 1));
  assert.deepEqual([restart.kind, restart.exitCode], [AdminReplyKind.JSON, 124]);
});

test("fields 21 to 23 of a request mean nothing, whatever type a later version of the reference gives them", async (t) => {
  const { broker } = await createLaunching(t);
  for (const field of [21, 22, 23])
    for (const other of [number(field, 1), bytes(field, "/srv/tree"), fixed64(field)]) {
      const { body, exitCode } = await ask(broker.endpoint, number(1, STATUS), other);
      assert.deepEqual([body, exitCode], ["broker_instance: launch\naccepting_hello: true\n", 0]);
    }
});

test("SHUTDOWN with the old number of with_backends leaves the backends, and does not say that it would not", async (t) => {
  const launching = await createLaunching(t);
  const { broker, world } = launching;
  world.define({ serviceName: "svc", binary: "obeys.mjs" });
  negotiatedIn(await sayHello(broker.endpoint, { serviceName: "svc" }));
  const [pid] = launching.pids("svc");
  const reply = await ask(broker.endpoint, number(1, SHUTDOWN), number(21, 1));
  assert.deepEqual([reply.body, reply.exitCode, reply.withBackends], ["broker shutting down\n", 0, false]);
  assert.equal((await broker.ended).code, 0);
  assert.deepEqual(world.processes(), [pid]);
  // The next one takes it over and ends it.
  const next = await world.startBroker(["--socket", broker.endpoint]);
  const confirmed = await ask(next.endpoint, number(1, SHUTDOWN), number(WITH_BACKENDS, 1));
  assert.deepEqual([confirmed.body, confirmed.withBackends], ["broker shutting down\n", true]);
  assert.equal((await next.ended).code, 0);
  assert.deepEqual(world.processes(), []);
});

test("a SHUTDOWN that asks for the broker alone confirms nothing else", async (t) => {
  const world = await createWorld(t);
  const broker = await world.startBroker(["--instance", "shared"]);
  assert.equal((await ask(broker.endpoint, number(1, SHUTDOWN))).withBackends, false);
  assert.equal((await broker.ended).code, 0);
});
