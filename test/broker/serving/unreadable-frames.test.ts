/** First frames that cannot be taken, and what the broker says to each (spec: wire §1.3, server §5.1, admin §1.1). */
import assert from "node:assert/strict";
import { once } from "node:events";
import test from "node:test";
import { encodeMessage } from "../../../src/wire/codec.ts";
import {
  AdminRequestSchema,
  AdminVerb,
  type FrameKind,
  FrameSchema,
  HelloSchema,
  type PayloadEncoding,
} from "../../../src/wire/messages.ts";
import { createLaunching } from "../../support/launching.ts";
import {
  adminReply,
  converse,
  helloReply,
  onlyFrame,
  openRaw,
  refusedIn,
  sayHello,
} from "../../support/peers/raw-peer.ts";

const HELLO_LIMIT = 64 * 1024;
const FRAME_LIMIT = 16 * 1024 * 1024;
const ADMIN = 0xad01;

/** The header as the spec has it, with whatever length is claimed. */
function framed(body: Uint8Array, claimed = body.length, version = 1): Buffer {
  const header = Buffer.alloc(5);
  header[0] = version;
  header.writeUInt32LE(claimed, 1);
  return Buffer.concat([header, body]);
}

/** A length-delimited field, always with a length of four bytes. */
function field(number: number, bytes: Uint8Array): Buffer {
  const { length } = bytes;
  const head = [
    (number << 3) | 2,
    (length & 0x7f) | 0x80,
    ((length >> 7) & 0x7f) | 0x80,
    ((length >> 14) & 0x7f) | 0x80,
  ];
  return Buffer.concat([Buffer.from([...head, length >> 21]), bytes]);
}

/** `frame` and a field that nobody knows, `total` bytes together. */
function padded(frame: Uint8Array, total: number): Buffer {
  return Buffer.concat([frame, field(15, Buffer.alloc(total - frame.length - 5))]);
}

const trace = { requestId: 77n, traceparent: "00-trace", tracestate: "k=v" };
/** A Hello that is refused for nothing but its service, which does not exist. */
const hello = encodeMessage(FrameSchema, {
  ...trace,
  envelopeVersion: 1,
  payload: encodeMessage(HelloSchema, {
    clientMinProtocol: 1,
    clientMaxProtocol: 1,
    serviceName: "nowhere",
    wantedVersion: "1.0.0",
  }),
});
const NOT_FOUND = "service definition was not found";
const adminFrame = { envelopeVersion: 1, payloadProtocol: ADMIN, requestId: 5n };
const healthz = encodeMessage(FrameSchema, {
  ...adminFrame,
  payload: encodeMessage(AdminRequestSchema, { verb: AdminVerb.HEALTHZ }),
});

interface Row {
  readonly name: string;
  readonly bytes: Uint8Array;
  /** We close our writing side after sending; without it the broker must answer by itself. */
  readonly end?: boolean;
  readonly code: number;
  readonly reason: string;
}
const framing = { code: 1, reason: "unsupported framing version" };
const tooLarge = { code: 6, reason: "initial Hello frame exceeds 64 KiB" };
const incomplete = { code: 6, reason: "incomplete Hello frame", end: true };
const malformed = { code: 6, reason: "malformed broker Frame" };

const ROWS: readonly Row[] = [
  { name: "framing byte 2, and not one byte more", bytes: Buffer.from([2]), ...framing },
  { name: "framing byte 0, and not one byte more", bytes: Buffer.from([0]), ...framing },
  { name: "framing byte 2 in front of a good frame", bytes: framed(hello, hello.length, 2), ...framing },
  { name: "framing byte 2 in front of an impossible length", bytes: framed(hello, 0xffff_ffff, 2), ...framing },
  { name: "an HTTP request", bytes: Buffer.from("GET / HTTP/1.1\r\n\r\n"), ...framing },
  { name: "a length of 16 MiB and 1", bytes: framed(Buffer.alloc(0), FRAME_LIMIT + 1), ...tooLarge },
  { name: "the largest length there is", bytes: framed(Buffer.alloc(0), 0xffff_ffff), ...tooLarge },
  { name: "nothing at all", bytes: Buffer.alloc(0), ...incomplete },
  { name: "an end after the framing byte", bytes: Buffer.from([1]), ...incomplete },
  { name: "an end within the length", bytes: Buffer.from([1, 16, 0, 0]), ...incomplete },
  { name: "an end before the body", bytes: framed(Buffer.alloc(0), 16), ...incomplete },
  { name: "an end one byte before the end", bytes: framed(hello).subarray(0, -1), ...incomplete },
  { name: "an end within an admin frame", bytes: framed(healthz).subarray(0, -1), ...incomplete },
  { name: "a body of garbage", bytes: framed(Buffer.from([0xff, 0xff, 0xff])), ...malformed },
  { name: "a body that ends inside a field", bytes: framed(hello.subarray(0, -1)), ...malformed },
  { name: "a known field with another wire type", bytes: framed(Buffer.from([0x0a, 1, 1])), ...malformed },
  { name: "a field number 0", bytes: framed(Buffer.from([0, 1])), ...malformed },
  { name: "a trace string that is not UTF-8", bytes: framed(field(8, Buffer.from([0xc3, 0x28]))), ...malformed },
  {
    name: "a Hello without its Frame, as v2 sends it",
    bytes: framed(Buffer.from("080110011a0161", "hex")),
    ...malformed,
  },
  { name: "garbage beyond 64 KiB", bytes: framed(Buffer.alloc(HELLO_LIMIT + 1, 0xff)), ...malformed },
];

test("a first frame that cannot be read is refused with the frozen text, without an id or trace", async (t) => {
  const { broker } = await createLaunching(t);
  for (const { name, bytes, end = false, code, reason } of ROWS) {
    await t.test(name, async () => {
      const reply = await converse(broker.endpoint, bytes, { end });
      assert.deepEqual(envelope(reply), { requestId: 0n, traceparent: "", tracestate: "", ...RESPONSE });
      assert.deepEqual(refusal(reply), { code, reason, retryAfterMs: 0n, min: 1, max: 1, details: {} });
    });
  }
});

test("a Hello frame may have 64 KiB and not one byte more; the refusal of what could be decoded has its id and trace", async (t) => {
  const { broker } = await createLaunching(t);
  for (const [size, code, reason] of [
    [HELLO_LIMIT, 2, NOT_FOUND],
    [HELLO_LIMIT + 1, tooLarge.code, tooLarge.reason],
    [FRAME_LIMIT, tooLarge.code, tooLarge.reason],
  ] as const) {
    const reply = await converse(broker.endpoint, framed(padded(hello, size)));
    assert.deepEqual([size, refusal(reply).code, refusal(reply).reason], [size, code, reason]);
    assert.deepEqual(envelope(reply), { ...trace, ...RESPONSE });
  }
});

test("an empty body is a Frame of defaults, and refused as that", async (t) => {
  const { broker } = await createLaunching(t);
  const reply = refusal(await converse(broker.endpoint, framed(Buffer.alloc(0))));
  assert.deepEqual([reply.code, reply.reason], [1, "frame envelope_version is not v1"]);
});

test("admin frames may have 16 MiB; those that are not valid are closed without a byte, and the broker goes on", async (t) => {
  const { broker } = await createLaunching(t);
  const invalid = (change: object): Buffer =>
    framed(encodeMessage(FrameSchema, { ...adminFrame, payload: Buffer.from("0804", "hex"), ...change }));
  const rows: Record<string, Buffer> = {
    "envelope_version 2": invalid({ envelopeVersion: 2 }),
    "envelope_version 0": invalid({ envelopeVersion: 0 }),
    "kind RESPONSE": invalid({ kind: 1 }),
    "kind of an unknown number": invalid({ kind: 9 }),
    "compressed payload": invalid({ payloadEncoding: 1 }),
    "payload that is no AdminRequest": invalid({ payload: Buffer.from([0xff]) }),
  };
  for (const [name, bytes] of Object.entries(rows)) {
    await t.test(name, async () => assert.equal((await converse(broker.endpoint, bytes)).toString("hex"), ""));
  }
  const large = await converse(broker.endpoint, framed(padded(healthz, FRAME_LIMIT)));
  assert.equal(adminReply(large).body, "ok\n");
  assert.deepEqual(envelope(large), { requestId: 5n, traceparent: "", tracestate: "", ...RESPONSE, protocol: ADMIN });
});

test("a frame that arrives byte by byte is read like any other, and what follows it is not", async (t) => {
  const { broker } = await createLaunching(t);
  const socket = await openRaw(broker.endpoint);
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk)).on("error", () => {});
  for (const byte of framed(hello)) await new Promise((resolve) => socket.write(Buffer.from([byte]), resolve));
  await once(socket, "close");
  assert.equal(refusal(Buffer.concat(chunks)).reason, NOT_FOUND);
  // Two requests at once: one request, one reply, close.
  const reply = await converse(broker.endpoint, Buffer.concat([framed(hello), framed(healthz)]));
  assert.equal(refusal(reply).reason, NOT_FOUND);
});

test("96 malformed clients at once each get their refusal, and a good one after them its reply", async (t) => {
  const { broker } = await createLaunching(t);
  const flood = Array.from({ length: 96 }, (_, i) => {
    const { bytes, end = false, reason } = ROWS[i % ROWS.length] as Row;
    return converse(broker.endpoint, bytes, { end }).then((reply) => assert.equal(refusal(reply).reason, reason));
  });
  await Promise.all(flood);
  assert.equal(refusedIn(await sayHello(broker.endpoint, { serviceName: "nowhere" })).reason, NOT_FOUND);
});

const RESPONSE = { version: 1, kind: 1 as FrameKind, protocol: 0, encoding: 0 as PayloadEncoding, deadline: 0n };

function envelope(bytes: Buffer): object {
  const frame = onlyFrame(bytes);
  return {
    requestId: frame.requestId,
    traceparent: frame.traceparent,
    tracestate: frame.tracestate,
    version: frame.envelopeVersion,
    kind: frame.kind,
    protocol: frame.payloadProtocol,
    encoding: frame.payloadEncoding,
    deadline: frame.deadlineUnixMs,
  };
}

function refusal(bytes: Buffer) {
  const {
    code,
    reason,
    retryAfterMs,
    daemonMinProtocol: min,
    daemonMaxProtocol: max,
    details,
  } = refusedIn(helloReply(bytes));
  return { code: code as number, reason, retryAfterMs, min, max, details };
}
