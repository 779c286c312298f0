/** Why a Hello is refused: code, frozen reason, retry hint, and what was not done for it (spec: server §6.1, §6.2). */
import assert from "node:assert/strict";
import test from "node:test";
import { encodeMessage } from "../../../src/wire/codec.ts";
import { FrameSchema, HelloSchema } from "../../../src/wire/messages.ts";
import { createLaunching, type Launching, logLines } from "../../support/launching.ts";
import { converse, type HelloInit, helloReply, onlyFrame, refusedIn } from "../../support/peers/raw-peer.ts";

const VERSION_UNSUPPORTED = 1;
const SERVICE_UNKNOWN = 2;
const PEER_REJECTED = 6;
const NOT_FOUND = "service definition was not found";
const BAD_VERSION = "invalid wanted_version";

/** A Hello that would launch `svc`, but for the changes. */
function wire(hello: Partial<HelloInit>, frame: object = {}): Buffer {
  const init = { clientMinProtocol: 1, clientMaxProtocol: 1, serviceName: "svc", wantedVersion: "1.0.0", ...hello };
  const payload = encodeMessage(HelloSchema, init as HelloInit);
  const body = encodeMessage(FrameSchema, { envelopeVersion: 1, requestId: 1n, payload, ...frame });
  const header = Buffer.from([1, 0, 0, 0, 0]);
  header.writeUInt32LE(body.length, 1);
  return Buffer.concat([header, body]);
}

async function refusal(launching: Launching, bytes: Buffer): Promise<[code: number, reason: string, retry: bigint]> {
  const reply = refusedIn(helloReply(await converse(launching.broker.endpoint, bytes)));
  assert.deepEqual([reply.daemonMinProtocol, reply.daemonMaxProtocol], [1, 1]);
  return [reply.code, reply.reason, reply.retryAfterMs];
}

type Row = readonly [name: string, bytes: Buffer, code: number, reason: string];

/** Each is about a service that can be launched, and for none of them it is. */
const MALFORMED: readonly Row[] = [
  ...([0, 2] as const).map((envelopeVersion): Row => {
    const bytes = wire({}, { envelopeVersion });
    return [`envelope ${envelopeVersion}`, bytes, VERSION_UNSUPPORTED, "frame envelope_version is not v1"];
  }),
  ...([1, 2, 3, 99] as const).map((kind): Row => {
    return [`kind ${kind}`, wire({}, { kind }), PEER_REJECTED, "Hello frame kind must be REQUEST"];
  }),
  ...([1, 0xb232, 0xd0ff, 0xf001, 0xffffffff] as const).map((payloadProtocol): Row => {
    const reason = "Hello frame payload_protocol must be control-plane";
    return [`protocol ${payloadProtocol}`, wire({}, { payloadProtocol }), PEER_REJECTED, reason];
  }),
  ...([1, 2, 3, 9] as const).map((payloadEncoding): Row => {
    const reason = "Hello payload must not be compressed";
    return [`encoding ${payloadEncoding}`, wire({}, { payloadEncoding }), PEER_REJECTED, reason];
  }),
  ...["ff", "08", "0a0101", "1a02c328", "1a0561"].map((payload): Row => {
    const bytes = wire({}, { payload: Buffer.from(payload, "hex") });
    return [`payload ${payload}`, bytes, PEER_REJECTED, "malformed Hello payload"];
  }),
  ...(
    [
      [0, 0],
      [2, 2],
      [2, 9],
      [1, 0],
      [0xffffffff, 1],
    ] as const
  ).map(([clientMinProtocol, clientMaxProtocol]): Row => {
    const reason = "client protocol range does not include v1";
    const bytes = wire({ clientMinProtocol, clientMaxProtocol });
    return [`protocols ${clientMinProtocol} to ${clientMaxProtocol}`, bytes, VERSION_UNSUPPORTED, reason];
  }),
  ...["", "Svc", "a/b", "..", ".", "a.b", "a_b", "a b", "svc\0", "sv\u00e7", "a".repeat(65), "svc\n"].map(
    (serviceName): Row => {
      return [`service ${serviceName}`, wire({ serviceName }), PEER_REJECTED, "invalid service_name"];
    },
  ),
  ...[
    "",
    "1",
    "1.2",
    "1.2.3.4",
    "v1.2.3",
    "1.2.3+b",
    "1.2.3-",
    "1.2.3-RC1",
    "1.2.3-a-b",
    "1.2.3-a_b",
    "1.2.x",
    " 1.2.3",
    "1.2.3\n",
    "1.2.3/../x",
    "\u0661.2.3",
    `1.2.3-${"a".repeat(59)}`,
    `${"9".repeat(61)}.1.1`,
  ].map((wantedVersion): Row => [`version ${wantedVersion}`, wire({ wantedVersion }), PEER_REJECTED, BAD_VERSION]),
  ...["a".repeat(129), "\u00e9".repeat(65)].map((clientVersion): Row => {
    return ["client_version", wire({ clientVersion }), PEER_REJECTED, "client_version exceeds 128 bytes"];
  }),
  ...(["clientLibName", "clientLibVersion"] as const).flatMap((field) =>
    ["a".repeat(65), "\u00e9".repeat(33)].map((text): Row => {
      return [field, wire({ [field]: text }), PEER_REJECTED, "client_lib fields exceed 64 bytes"];
    }),
  ),
  ...[1, process.ppid, 0xffffffff].map((peerPid): Row => {
    return ["forged pid", wire({ peerPid }), PEER_REJECTED, "peer_pid does not match verified peer"];
  }),
];

/** Everything about these is in order except that there is no such service. */
const WELL_FORMED: readonly Partial<HelloInit>[] = [
  ...["a", "a".repeat(64), "-", "--a--", "0"].map((serviceName) => ({ serviceName })),
  ...["01.2.3", "0.0.0", "1.2.3-rc.1", "1.2.3-..", `1.2.3-${"a".repeat(58)}`, `${"9".repeat(60)}.1.1`].map(
    (wantedVersion) => ({ wantedVersion }),
  ),
  { clientMinProtocol: 0, clientMaxProtocol: 0xffffffff },
  { clientVersion: "a".repeat(128) },
  { clientLibName: "\u00e9".repeat(32), clientLibVersion: "a".repeat(64) },
  { peerPid: process.pid },
  { peerPid: 0 },
  // Reserved and informational fields are not looked at.
  { authToken: Buffer.alloc(4096, 1), capabilityToken: Buffer.alloc(64), peerAttestationNonce: Buffer.alloc(64) },
  { requestId: "x".repeat(4096), connectionId: 99n, clientCapabilities: 2n ** 64n - 1n },
];

test("a Hello that is not well formed is refused before anything is done for it", async (t) => {
  const launching = await createLaunching(t);
  launching.world.define({ serviceName: "svc", binary: "obeys.mjs" });
  for (const [name, bytes, code, reason] of MALFORMED) {
    await t.test(JSON.stringify(name), async () =>
      assert.deepEqual(await refusal(launching, bytes), [code, reason, 0n]),
    );
  }
  assert.deepEqual(launching.leftovers(), []);
  await launching.negotiated("svc");
  // The log is in order: what came before this launch would stand in it before.
  assert.equal(logLines(launching.broker).filter((line) => line.type === "backend-launching").length, 1);
});

test("what the grammar allows is allowed, up to the last byte", async (t) => {
  const launching = await createLaunching(t);
  for (const hello of WELL_FORMED) {
    const answer = await refusal(launching, wire({ serviceName: "nowhere", ...hello }));
    assert.deepEqual(answer, [SERVICE_UNKNOWN, NOT_FOUND, 0n], Object.keys(hello).join());
  }
});

test("of several faults the first in the frozen order is named", async (t) => {
  const launching = await createLaunching(t);
  const faults = { clientVersion: "a".repeat(129), clientLibName: "a".repeat(65), peerPid: 1 };
  const rows: [Buffer, string][] = [
    [wire({}, { envelopeVersion: 2, kind: 1, payloadProtocol: 1 }), "frame envelope_version is not v1"],
    [wire({}, { kind: 1, payloadProtocol: 1, payloadEncoding: 1 }), "Hello frame kind must be REQUEST"],
    [wire({}, { payloadProtocol: 1, payloadEncoding: 1 }), "Hello frame payload_protocol must be control-plane"],
    [wire({}, { payloadEncoding: 1, payload: Buffer.from([0xff]) }), "Hello payload must not be compressed"],
    [wire({ ...faults, clientMinProtocol: 2, serviceName: "A" }), "client protocol range does not include v1"],
    [wire({ ...faults, serviceName: "A", wantedVersion: "1" }), "invalid service_name"],
    [wire({ ...faults, wantedVersion: "1" }), BAD_VERSION],
    [wire({ ...faults }), "client_version exceeds 128 bytes"],
    [wire({ ...faults, clientVersion: "" }), "client_lib fields exceed 64 bytes"],
    [wire({ peerPid: 1 }), "peer_pid does not match verified peer"],
    [wire({}), NOT_FOUND],
  ];
  for (const [bytes, reason] of rows) assert.equal((await refusal(launching, bytes))[1], reason);
});

test("a refusal repeats the request's id and trace strings, whatever they are", async (t) => {
  const { broker } = await createLaunching(t);
  const ids = { requestId: 2n ** 64n - 1n, traceparent: "not a traceparent \u00e9", tracestate: "t".repeat(1000) };
  for (const change of [
    {},
    { envelopeVersion: 7 },
    { kind: 3 },
    { payloadProtocol: 5 },
    { payload: Buffer.from([8]) },
  ]) {
    const frame = onlyFrame(await converse(broker.endpoint, wire({}, { ...ids, deadlineUnixMs: 1n, ...change })));
    const { requestId, traceparent, tracestate, kind, payloadProtocol, deadlineUnixMs } = frame;
    assert.deepEqual({ requestId, traceparent, tracestate }, ids);
    assert.deepEqual([kind, payloadProtocol, deadlineUnixMs], [1, 0, 0n]);
  }
});
