import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createEndpointMux } from "../backend/mux.ts";
import { serveBackend } from "../backend/serve-backend.ts";
import type { BackendIdentity } from "../model/identity.ts";
import { loadPlatform } from "../platform/platform.ts";
import { encodeMessage } from "../wire/codec.ts";
import { encodeRequest } from "../wire/envelope.ts";
import { encodeFrameBytes } from "../wire/framing.ts";
import { FrameSchema } from "../wire/messages.ts";
import { encodeProbeRequest } from "../wire/probe.ts";
import {
  ConformanceError,
  type ConformanceKind,
  checkFramedBytesDecodeTo,
  checkFramedFrameMatchesGolden,
  checkProbeResponds,
  type MixedWireStep,
  runMixedWire,
} from "./index.ts";

interface Vector {
  readonly name: string;
  readonly hex: string;
}

const vectors = JSON.parse(
  readFileSync(new URL("../../test/fixtures/golden-vectors.json", import.meta.url), "utf8"),
) as Vector[];

function golden(name: string): Buffer {
  const vector = vectors.find((candidate) => candidate.name === name);
  assert.ok(vector, name);
  return Buffer.from(vector.hex, "hex");
}

function fails(kind: ConformanceKind, text?: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof ConformanceError, String(error));
    assert.equal(error.kind, kind);
    if (text !== undefined) assert.match(error.message, text);
    return true;
  };
}

const PING = golden("derived_consumer_ping_wire");

test("the recorded probe request is what the kit encodes, and one differing byte is shown in hex", () => {
  const recorded = golden("derived_probe_request_wire");
  const payload = recorded.subarray(recorded.indexOf(Buffer.from([0x22, 0x20])) + 2).subarray(0, 32);
  const fields = { payloadProtocol: 0xb232, payload, requestId: Buffer.from(payload).readBigUInt64LE(0) };
  checkFramedFrameMatchesGolden(fields, recorded);
  assert.throws(
    () => checkFramedFrameMatchesGolden({ ...fields, requestId: 1n }, recorded),
    fails("golden-mismatch", /55 bytes \[01 32 00 00 00 08 01/),
  );
});

test("recorded bytes decode to the expected fields, and to no others", () => {
  const bytes = encodeRequest({
    payloadProtocol: 0xf001,
    payload: Buffer.from("ping"),
    requestId: 3n,
    tracestate: "not compared",
  });
  const expected = { payloadProtocol: 0xf001, kind: 0, requestId: 3n, payload: Buffer.from("ping") };
  checkFramedBytesDecodeTo(bytes, expected);
  for (const odd of [{ payloadProtocol: 0xf002 }, { kind: 1 }, { requestId: 4n }, { payload: Buffer.from("pong") }]) {
    assert.throws(() => checkFramedBytesDecodeTo(bytes, { ...expected, ...odd }), fails("identity-mismatch"));
  }
});

test("bytes that are not exactly one frame are a golden mismatch", () => {
  const expected = { payloadProtocol: 0xf001, kind: 0, requestId: 0n, payload: Buffer.alloc(0) };
  for (const bytes of [
    PING.subarray(0, -1),
    Buffer.concat([PING, Buffer.from([1])]),
    Buffer.concat([PING, PING]),
    Buffer.alloc(0),
    Buffer.from("GET /"),
    golden("frame_body_garbage"),
  ]) {
    assert.throws(() => checkFramedBytesDecodeTo(bytes, expected), fails("golden-mismatch"));
  }
});

const IDENTITY: BackendIdentity = {
  pid: 1,
  exePath: "/x",
  sha256: Buffer.alloc(32, 1),
  endpoint: { namespaceId: "n", path: "/p" },
  startedAtUnixMs: 0,
  bootId: "b",
};
/** A legacy wire whose messages may begin with 0x01: it knows its own by their second byte. */
const mux = createEndpointMux({
  identity: IDENTITY,
  protocols: [0xf001],
  legacy: (bytes) => (bytes.length < 2 ? "need-more" : bytes[1] === 0x4c ? "legacy" : "not-legacy"),
});
const PROBE = encodeProbeRequest(Buffer.alloc(32, 5));
const frame = (protocol: number): Buffer =>
  encodeRequest({ payloadProtocol: protocol, payload: Buffer.from("x"), requestId: 1n });
const shortNonce = encodeFrameBytes(
  encodeMessage(FrameSchema, { envelopeVersion: 1, payloadProtocol: 0xb232, payload: Buffer.alloc(31) }),
);

test("the full mixed-wire scenario runs against the mux", () => {
  const two = Buffer.concat([frame(0xf001), frame(0xf001)]);
  const steps: MixedWireStep[] = [
    { append: Buffer.from("legacy talk"), expect: { type: "legacy" } },
    { append: Buffer.from([0x01, 0x4c, 9]), expect: { type: "legacy" } },
    { append: frame(0xf001), expect: { type: "payload", protocol: 0xf001 } },
    { append: PROBE, expect: { type: "probe-answered" } },
    ...Array.from(
      PROBE,
      (byte, index): MixedWireStep => ({
        append: Buffer.from([byte]),
        expect: { type: index === PROBE.length - 1 ? "probe-answered" : "need-more" },
      }),
    ),
    { append: two, expect: { type: "payload", protocol: 0xf001 } },
    { append: Buffer.alloc(0), expect: { type: "payload", protocol: 0xf001 } },
    { append: Buffer.alloc(0), expect: { type: "need-more" } },
    { append: frame(0xf002), expect: { type: "error", contains: "Unserved" } },
    { append: shortNonce, expect: { type: "error", contains: "malformed-probe" } },
    { append: Buffer.from([1, 1, 0, 0, 1]), expect: { type: "error", contains: "FRAME_TOO_LARGE" } },
    { append: PING.subarray(0, 3), expect: { type: "need-more" } },
  ];
  assert.deepEqual(
    runMixedWire(mux, steps),
    PING.subarray(0, 3),
    "an error and a legacy message clear the buffer, need-more keeps it",
  );
});

test("the runner names the step that went otherwise", () => {
  const good: MixedWireStep = { append: frame(0xf001), expect: { type: "payload", protocol: 0xf001 } };
  const wrong: [MixedWireStep, ConformanceKind][] = [
    [{ ...good, expect: { type: "legacy" } }, "unexpected-verdict"],
    [{ ...good, expect: { type: "payload", protocol: 0xf002 } }, "unexpected-verdict"],
    [{ ...good, expect: { type: "error", contains: "" } }, "unexpected-verdict"],
    [{ append: frame(0xf002), expect: { type: "payload", protocol: 0xf002 } }, "unexpected-mux-error"],
    [{ append: frame(0xf002), expect: { type: "error", contains: "malformed" } }, "unexpected-mux-error"],
  ];
  for (const [step, kind] of wrong) assert.throws(() => runMixedWire(mux, [good, step]), fails(kind, /step 1: /));
});

test("a live backend passes the probe check; another pid, another namespace and a dead endpoint do not", async () => {
  const directory = mkdtempSync(join(tmpdir(), "rpk-"));
  const path = join(directory, "s");
  const backend = await serveBackend(
    { protocol: 0xf001, handle: ({ payload }) => payload, endpoint: path },
    { platform: await loadPlatform(), launchEnv: {} },
  );
  try {
    // The probe takes half a second at most; a busy machine may hash for longer.
    await backend.identity;
    const expected = { pid: process.pid, endpoint: { namespaceId: "direct", path } };
    assert.equal((await checkProbeResponds(expected)).pid, process.pid);
    await assert.rejects(checkProbeResponds({ ...expected, pid: 1 }), fails("identity-mismatch", /pid/));
    await assert.rejects(
      checkProbeResponds({ ...expected, endpoint: { namespaceId: "shared", path } }),
      fails("identity-mismatch", /namespace_id/),
    );
    await backend.stop();
    await assert.rejects(checkProbeResponds(expected), fails("probe"));
  } finally {
    await backend.stop();
    rmSync(directory, { recursive: true });
  }
});
