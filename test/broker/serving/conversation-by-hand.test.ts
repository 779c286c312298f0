/** Golden bytes go in as they are; what comes out is compared with bytes put together by hand (spec: wire §1, §3, §10). */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { createLaunching, type Launching } from "../../support/launching.ts";
import { converse } from "../../support/peers/raw-peer.ts";
import { FIXTURES } from "../../support/world.ts";

interface Vector {
  readonly name: string;
  readonly hex: string;
}
const vectors = JSON.parse(readFileSync(join(FIXTURES, "golden-vectors.json"), "utf8")) as Vector[];

function golden(name: string): Buffer {
  const vector = vectors.find((candidate) => candidate.name === name);
  assert.ok(vector, name);
  return Buffer.from(vector.hex, "hex");
}

// ---------------------------------------------------------------- protobuf and framing by hand

function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (let rest = BigInt(value); ; rest >>= 7n) {
    if (rest < 0x80n) return Buffer.from([...bytes, Number(rest)]);
    bytes.push(Number(rest & 0x7fn) | 0x80);
  }
}

function number(field: number, value: number): Buffer {
  return value === 0 ? Buffer.alloc(0) : Buffer.concat([Buffer.from([field << 3]), varint(value)]);
}

function bytes(field: number, value: string | Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([(field << 3) | 2]), varint(Buffer.byteLength(value)), Buffer.from(value)]);
}

function framed(body: Uint8Array): Buffer {
  const header = Buffer.from([1, 0, 0, 0, 0]);
  header.writeUInt32LE(body.length, 1);
  return Buffer.concat([header, body]);
}

/** A RESPONSE frame around `payload`. */
function response(payload: Buffer, { id = 0, protocol = 0 }: { id?: number; protocol?: number } = {}): Buffer {
  return framed(Buffer.concat([number(1, 1), number(2, 1), number(3, protocol), bytes(4, payload), number(5, id)]));
}

interface RefusedRest {
  readonly id?: number;
  readonly retry?: number;
  /** Content of the only detail, `path`. */
  readonly path?: string;
}

function refused(code: number, reason: string, { id = 0, retry = 0, path }: RefusedRest = {}): Buffer {
  const details = path === undefined ? Buffer.alloc(0) : bytes(5, Buffer.concat([bytes(1, "path"), bytes(2, path)]));
  const message = [bytes(1, reason), number(2, 1), number(3, 1), number(4, code), details, number(6, retry)];
  return response(bytes(2, Buffer.concat(message)), { id });
}

async function answers(launching: Launching, request: Buffer, expected: Buffer, end = false): Promise<void> {
  const got = await converse(launching.broker.endpoint, request, { end });
  assert.equal(got.toString("hex"), expected.toString("hex"), `got ${JSON.stringify(got.toString("latin1"))}`);
}

/** The client's Hello, with the field that names its pid taken out. */
function anonymousHello(): Buffer {
  const pid = Buffer.from("509221", "hex");
  const wire = golden("derived_client_hello_wire");
  const at = wire.indexOf(pid);
  assert.equal(at > 0 && wire[1] === 0x40 && wire[8] === 0x3a, true);
  const shorter = Buffer.concat([wire.subarray(0, at), wire.subarray(at + pid.length)]);
  shorter[1] = 0x40 - pid.length;
  shorter[8] = 0x3a - pid.length;
  return shorter;
}

test("golden bytes of every kind get the reply of the spec, byte for byte", async (t) => {
  const launching = await createLaunching(t);
  const inFrame = (hello: string): Buffer =>
    framed(Buffer.concat([number(1, 1), bytes(4, golden(hello)), number(5, 9)]));
  const forged = (id: number): Buffer => refused(6, "peer_pid does not match verified peer", { id });
  const kind = (id: number): Buffer => refused(6, "Hello frame kind must be REQUEST", { id });
  const protocol = (id: number): Buffer => refused(6, "Hello frame payload_protocol must be control-plane", { id });
  const malformed = refused(6, "malformed broker Frame");
  const incomplete = refused(6, "incomplete Hello frame");
  const rows: [name: string, request: Buffer, reply: Buffer, end?: boolean][] = [
    ["derived_client_hello_wire", golden("derived_client_hello_wire"), forged(1)],
    ["golden_hello", inFrame("golden_hello"), forged(9)],
    ["hello_unknown_trailing_field", inFrame("hello_unknown_trailing_field"), forged(9)],
    ["framed_golden_hello", golden("framed_golden_hello"), malformed],
    ["framed_empty_body", golden("framed_empty_body"), refused(1, "frame envelope_version is not v1")],
    ["frame_body_garbage", golden("frame_body_garbage"), malformed],
    ["framing_bad_version", golden("framing_bad_version"), refused(1, "unsupported framing version")],
    [
      "framing_oversize_default_cap",
      golden("framing_oversize_default_cap"),
      refused(6, "initial Hello frame exceeds 64 KiB"),
    ],
    // Admin frames may be that large, so the broker waits for the body.
    ["framing_oversize_hello_cap", golden("framing_oversize_hello_cap"), incomplete, true],
    ["framing_eof_version", golden("framing_eof_version"), incomplete, true],
    ["framing_eof_length", golden("framing_eof_length"), incomplete, true],
    ["framing_eof_body", golden("framing_eof_body"), incomplete, true],
    // A RESPONSE that pretends to be an admin request.
    ["golden_frame", framed(golden("golden_frame")), Buffer.alloc(0)],
    ["derived_handoff_offer_unix_wire", golden("derived_handoff_offer_unix_wire"), protocol(7)],
    ["derived_handoff_ack_wire", golden("derived_handoff_ack_wire"), kind(7)],
    ["derived_handoff_ready_wire", golden("derived_handoff_ready_wire"), kind(7)],
    ["derived_consumer_ping_wire", golden("derived_consumer_ping_wire"), protocol(1)],
    ["derived_consumer_pong_wire", golden("derived_consumer_pong_wire"), kind(1)],
  ];
  for (const [name, request, reply, end] of rows) await t.test(name, () => answers(launching, request, reply, end));
});

test("the trace strings and the full id of a probe that went astray come back with its refusal", async (t) => {
  const launching = await createLaunching(t);
  const wire = golden("derived_probe_request_wire");
  const got = await converse(launching.broker.endpoint, wire);
  // The id is the last field of the request; and the last one of the reply.
  const id = wire.subarray(wire.lastIndexOf(0x28));
  assert.equal(got.subarray(-id.length).toString("hex"), id.toString("hex"));
  assert.ok(got.includes("Hello frame payload_protocol must be control-plane"));
});

test("the golden definition governs the golden client", async (t) => {
  const launching = await createLaunching(t);
  const { world } = launching;
  const hello = anonymousHello();
  // The one refusal here with a detail, which is ours: the file that was looked for.
  const path = join(world.definitions, "zccache.servicedef");
  await answers(launching, hello, refused(2, "service definition was not found", { id: 1, path }));
  world.define({ serviceName: "zccache", binary: "obeys.mjs" });
  writeFileSync(path, golden("derived_servicedef_file"));
  const wants = (version: string): Buffer =>
    Buffer.from(hello.toString("latin1").replace("1.11.20", version), "latin1");
  const retry = 30_000;
  await answers(launching, wants("1.09.20"), refused(8, "wanted_version is below min_version", { id: 1, retry }));
  await answers(
    launching,
    wants("1.11.21"),
    refused(8, "wanted_version is not in version_allow_list", { id: 1, retry }),
  );
  await answers(launching, wants("1.11.2x"), refused(6, "invalid wanted_version", { id: 1 }));
  await answers(launching, wants("v.11.20"), refused(6, "invalid wanted_version", { id: 1 }));
});

test("the golden client is granted its backend with exactly the fields it needs", async (t) => {
  const launching = await createLaunching(t);
  launching.world.define({ serviceName: "zccache", binary: "obeys.mjs", labels: { "handoff.enabled": "false" } });
  const got = await converse(launching.broker.endpoint, anonymousHello());
  const pipe = /\/[^\0]*\.sock/.exec(got.toString("latin1"))?.[0];
  assert.ok(pipe);
  const negotiated = [number(1, 1), bytes(2, "1.11.20"), bytes(3, pipe), number(6, 1800), number(8, 1)];
  const expected = response(bytes(1, Buffer.concat(negotiated)), { id: 1 });
  assert.equal(got.toString("hex"), expected.toString("hex"));
});

test("admin requests by hand", async (t) => {
  const launching = await createLaunching(t);
  const admin = (payload: Buffer): Buffer =>
    framed(Buffer.concat([number(1, 1), number(3, 0xad01), bytes(4, payload), number(5, 300)]));
  const text = (body: string, exit = 0): Buffer =>
    response(Buffer.concat([bytes(2, body), number(3, exit), bytes(4, "text/plain")]), { id: 300, protocol: 0xad01 });
  await answers(launching, admin(number(1, 4)), text("ok\n"));
  await answers(launching, admin(number(1, 5)), text("ready\n"));
  await answers(launching, admin(number(1, 1)), text("broker_instance: launch\naccepting_hello: true\n"));
  await answers(launching, admin(Buffer.alloc(0)), text("unsupported admin verb\n", 2));
  await answers(launching, admin(number(1, 20)), text("unsupported admin verb\n", 2));

  const got = await converse(launching.broker.endpoint, golden("derived_admin_status_json_wire"));
  const json = got.toString("latin1").slice(got.indexOf("{"), got.lastIndexOf("}") + 1);
  assert.equal(JSON.stringify(JSON.parse(json)), json);
  const reply = Buffer.concat([number(1, 1), bytes(2, json), bytes(4, "application/json")]);
  assert.equal(got.toString("hex"), response(reply, { id: 1, protocol: 0xad01 }).toString("hex"));
});
