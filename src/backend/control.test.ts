/** The SDK over a real control channel; the test is the broker at its other end: reports, requests, broken channels. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { gate, setUp, soon } from "../../test/backend/support/control-bench.ts";
import { request, textOf } from "../../test/support/peers/raw-client.ts";
import { NO_SIDEBAND } from "../wire/control.ts";

test("a backend says what it can do, and then how much it has", async (t) => {
  const { broker } = await setUp(t);
  const { capabilities, features } = await broker.next("announce");
  assert.deepEqual([capabilities, features], [1n | (1n << 33n), 3n]);
  const { requests, connections, held, begun } = await broker.next("leases");
  assert.deepEqual([requests, connections, held, begun], [0, 0, 0, 0n]);
});

test("requests, connections and leases show in reports, and are gone from them when they are over", async (t) => {
  const { opened, open } = gate();
  const { broker, backend, connect } = await setUp(t, {
    protocol: 0xf001,
    handle: () => opened.then(() => Buffer.of(1)),
  });
  const until = async (wanted: readonly number[]): Promise<bigint> => {
    for (;;) {
      const { requests, connections, held, begun } = await broker.next("leases");
      if (`${[requests, connections, held]}` === `${wanted}`) return begun;
    }
  };
  await until([0, 0, 0]);
  const client = await connect();
  client.socket.write(request("a", 1n));
  client.socket.write(request("b", 2n));
  const lease = backend.lease("indexing");
  assert.equal(await until([2, 1, 1]), 3n);
  open();
  await until([0, 1, 1]);
  client.socket.destroy();
  await until([0, 0, 1]);
  lease.release();
  assert.equal(await until([0, 0, 0]), 3n);
});

test("a request whose client is gone counts while its handler runs, and one whose answer nobody reads until its connection ends", async (t) => {
  const { opened, open } = gate();
  const { broker, connect } = await setUp(t, {
    protocol: 0xf001,
    handle: () => opened.then(() => Buffer.alloc(8 << 20)),
  });
  const requests = async (wanted: number): Promise<void> => {
    while ((await broker.next("leases")).requests !== wanted);
  };
  const gone = await connect();
  gone.socket.write(request("a", 1n));
  await requests(1);
  gone.socket.destroy();
  const slow = await connect();
  slow.socket.write(request("b", 1n));
  await requests(2);
  // What follows its request ends this one's connection, from the backend's side.
  const malformed = await connect();
  malformed.socket.write(request("c", 1n));
  await requests(3);
  malformed.socket.write(Buffer.from([1, 255, 255, 255, 255]));
  await malformed.over;
  open();
  slow.socket.pause();
  await requests(1);
  slow.socket.destroy();
  await requests(0);
});

test("a path is let go by the author's hook, and each outcome finds its request", async (t) => {
  const asked: [string, boolean, boolean, boolean][] = [];
  const { broker, errors } = await setUp(t, {
    onReleaseHandles({ path, covers }) {
      asked.push([path, covers("/w/build"), covers("/w/build/x"), covers("/w/builds")]);
      if (path === "/broken") throw new Error("it is in use");
      return path === "/w/build";
    },
  });
  assert.equal((await broker.next("announce")).features, 7n);
  for (const [id, path] of [
    [1n, "/w/build"],
    [2n, "/other"],
    [3n, "/broken"],
  ] as const)
    await broker.send({ case: "releaseHandles", value: { id, path, timeoutMs: 5_000n } });
  const outcomes = [await broker.next("outcome"), await broker.next("outcome"), await broker.next("outcome")];
  assert.deepEqual(outcomes.map(({ id, status, detail }) => [id, status, detail]).sort(), [
    [1n, 1, ""],
    [2n, 2, ""],
    [3n, 4, "it is in use"],
  ]);
  assert.deepEqual(asked[0], ["/w/build", true, true, false]);
  assert.equal(errors.length, 1);
});

test("without a hook there is no means, and after its time the hook is told so", async (t) => {
  const plain = await setUp(t);
  await plain.broker.send({ case: "releaseHandles", value: { id: 9n, path: "/w", timeoutMs: 5_000n } });
  const { id, status } = await plain.broker.next("outcome");
  assert.deepEqual([id, status], [9n, 5]);
  const hooked = await setUp(t, {
    onReleaseHandles: ({ signal }) => new Promise((resolve) => signal.addEventListener("abort", () => resolve(false))),
  });
  await hooked.broker.send({ case: "releaseHandles", value: { id: 9n, path: "/w", timeoutMs: 1n } });
  assert.equal((await hooked.broker.next("outcome")).status, 2);
});

test("messages it does not know, and frames of other protocols, mean nothing to a backend", async (t) => {
  const { broker, errors } = await setUp(t);
  const unknownArm = Buffer.from("01 0b000000 0801 1002 2205 9a0602 0801".replaceAll(" ", ""), "hex");
  const otherProtocol = Buffer.from("01 07000000 0801 1002 18 8180 04".replaceAll(" ", ""), "hex");
  otherProtocol.writeUInt32LE(otherProtocol.length - 5, 1);
  unknownArm.writeUInt32LE(unknownArm.length - 5, 1);
  for (const frame of [unknownArm, otherProtocol])
    await broker.connection.writeAll(Buffer.concat([NO_SIDEBAND, frame]), soon());
  await broker.send({ case: "releaseHandles", value: { id: 1n, path: "/w", timeoutMs: 5_000n } });
  assert.equal((await broker.next("outcome")).id, 1n);
  assert.deepEqual(errors, []);
});

for (const [what, bytes] of [
  ["garbage", Buffer.from("garbage, and more of it than sideband and header")],
  ["a message that is none", Buffer.concat([NO_SIDEBAND, Buffer.from("010800000008011002220208ff", "hex")])],
  ["a frame above 64 KiB", Buffer.concat([NO_SIDEBAND, Buffer.from("0101000100", "hex")])],
] as const) {
  test(`${what} ends the channel only: clients are served, and the backend dials for another one`, async (t) => {
    const { broker, connect, listen, errors } = await setUp(t);
    const listening = listen();
    await broker.connection.writeAll(bytes, soon());
    await broker.ended();
    const client = await connect();
    client.socket.write(request("still", 1n));
    assert.equal(textOf(await client.frame()), "still");
    const next = await listening.next();
    assert.ok((await next.next("attach")).pid > 0);
    assert.equal(errors.length, 1);
  });
}
