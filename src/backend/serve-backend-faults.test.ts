/** What ends one connection: faults of handlers and of clients, and the ends of streams. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { deferred, echo, start } from "../../test/backend/support/serving.ts";
import { request, textOf } from "../../test/support/peers/raw-client.ts";
import { hasCode, isBrokerError } from "../base/errors.ts";
import { encodeMessage } from "../wire/codec.ts";
import { encodeFrameBytes } from "../wire/framing.ts";
import { FrameKind, FrameSchema } from "../wire/messages.ts";

test("a handler that throws costs only its own connection", async (t) => {
  const fault = new Error("a bug");
  const { connect, errors } = await start(t, {
    protocol: 0xf001,
    handle: ({ payload }) => {
      if (Buffer.from(payload).toString() === "bad") throw fault;
      return payload;
    },
  });
  const [bad, good] = [await connect(), await connect()];
  bad.socket.write(request("bad"));
  await bad.over;
  assert.deepEqual(errors, [fault]);
  good.socket.write(request("good"));
  assert.equal(textOf(await good.frame()), "good");
});

test("a handler that returns no bytes, or too many, is reported", async (t) => {
  const wrong: Record<string, unknown> = { text: "a string", nothing: undefined, huge: Buffer.alloc(16 * 1024 * 1024) };
  const { connect, errors } = await start(t, {
    protocol: 0xf001,
    handle: ({ payload }) => wrong[Buffer.from(payload).toString()] as Uint8Array,
  });
  for (const payload of Object.keys(wrong)) {
    const client = await connect();
    client.socket.write(request(payload));
    await client.over;
  }
  assert.ok(errors[0] instanceof TypeError && errors[1] instanceof TypeError);
  assert.ok(hasCode(errors[2], "FRAME_TOO_LARGE"));
});

const faults: Record<string, { bytes: Buffer; check: (error: unknown) => boolean }> = {
  "another protocol than served": {
    bytes: request("x", 1n, 0xf00f),
    check: (error) => checkOf(error) === "unserved-protocol",
  },
  "a Hello": { bytes: request("x", 1n, 0), check: (error) => checkOf(error) === "first-party-protocol" },
  "a malformed probe": { bytes: request("x", 1n, 0xb232), check: (error) => checkOf(error) === "malformed-probe" },
  "an EVENT": { bytes: frameOf({ kind: FrameKind.EVENT }), check: (error) => checkOf(error) === "kind" },
  "a compressed payload": {
    bytes: frameOf({ payloadEncoding: 1 }),
    check: (error) => checkOf(error) === "payload_encoding",
  },
  "bytes of another wire": {
    bytes: Buffer.from("GET / HTTP/1.1\r\n"),
    check: (error) => hasCode(error, "FRAMING_VERSION_UNSUPPORTED"),
  },
  "too long a frame": { bytes: Buffer.from([1, 0, 0, 0, 2]), check: (error) => hasCode(error, "FRAME_TOO_LARGE") },
  "no protobuf": {
    bytes: encodeFrameBytes(Buffer.from([0xff])),
    check: (error) => hasCode(error, "MESSAGE_MALFORMED"),
  },
};

function frameOf(odd: object): Buffer {
  return encodeFrameBytes(encodeMessage(FrameSchema, { envelopeVersion: 1, payloadProtocol: 0xf001, ...odd }));
}

function checkOf(error: unknown): string | undefined {
  return isBrokerError(error) ? error.details.check : undefined;
}

for (const [name, { bytes, check }] of Object.entries(faults)) {
  test(`${name} ends the connection without an answer and is reported; others go on`, async (t) => {
    const { connect, errors } = await start(t, { protocol: 0xf001, handle: echo });
    const client = await connect();
    client.socket.write(bytes);
    await assert.rejects(client.frame());
    assert.equal(errors.length, 1);
    assert.ok(check(errors[0]), String(errors[0]));
    const other = await connect();
    other.socket.write(request("fine"));
    assert.equal(textOf(await other.frame()), "fine");
  });
}

test("half a frame and then the end is reported as truncated; an end between messages is a clean close", async (t) => {
  const { connect, errors } = await start(t, { protocol: 0xf001, handle: echo });
  const clean = await connect();
  clean.socket.write(request("x"));
  await clean.frame();
  clean.socket.end();
  await clean.over;
  assert.deepEqual(errors, []);
  const torn = await connect();
  torn.socket.end(request("x").subarray(0, 9));
  await torn.over;
  assert.ok(hasCode(errors[0], "FRAME_TRUNCATED"));
});

test("a client that ends its side still gets the answers it asked for, and handlers are told", async (t) => {
  const reasons: unknown[] = [];
  const running = deferred();
  const { connect, errors } = await start(t, {
    protocol: 0xf001,
    handle: async ({ payload, signal }) => {
      running.resolve();
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
      reasons.push(signal.reason);
      return payload;
    },
  });
  const client = await connect();
  client.socket.write(request("late"));
  await running.promise;
  client.socket.end();
  assert.equal(textOf(await client.frame()), "late");
  await client.over;
  assert.ok(hasCode(reasons[0], "CONNECTION_CLOSED"));
  assert.deepEqual(errors, []);
});

test("a handler that gives up because its client is gone is no fault", async (t) => {
  const running = deferred();
  const ended = deferred();
  const { connect, errors } = await start(t, {
    protocol: 0xf001,
    handle: async ({ signal }) => {
      running.resolve();
      await new Promise((_, reject) =>
        signal.addEventListener("abort", () => reject(signal.reason), { once: true }),
      ).finally(() => ended.resolve());
      return Buffer.alloc(0);
    },
  });
  const client = await connect();
  client.socket.write(request("x"));
  await running.promise;
  client.socket.destroy();
  await ended.promise;
  const other = await connect();
  other.socket.end();
  await other.over;
  assert.deepEqual(errors, []);
});
