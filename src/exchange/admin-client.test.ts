import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { Deadline } from "../base/clock.ts";
import { type BrokerErrorCode, hasCode } from "../base/errors.ts";
import { systemCallFailed } from "../base/system-error.ts";
import { loadPlatform } from "../platform/platform.ts";
import { decodeMessage, encodeMessage } from "../wire/codec.ts";
import { type Correlation, decodeFrame, encodeRequest, encodeResponse } from "../wire/envelope.ts";
import { createFrameDecoder } from "../wire/frame-decoder.ts";
import {
  AdminReplyKind,
  AdminReplySchema,
  type AdminRequest,
  AdminRequestSchema,
  AdminVerb,
  type Frame,
} from "../wire/messages.ts";
import { adminRequest, adminTimeoutMs } from "./admin-client.ts";

const ADMIN = 0xad01;

/** A listener whose reaction to the first frame the test writes. */
async function listen(t: TestContext, react: (socket: Socket, frame: Frame) => void): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), "ac-"));
  const path = join(directory, "s");
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    const decoder = createFrameDecoder();
    socket.on("error", () => {});
    socket.on("data", (chunk: Buffer) => {
      decoder.push(chunk);
      const body = decoder.next();
      if (body !== undefined) react(socket, decodeFrame(body));
    });
  });
  server.listen(path);
  await once(server, "listening");
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
    rmSync(directory, { recursive: true });
  });
  return path;
}

function reply(
  frame: Correlation,
  init: { body: string; kind?: AdminReplyKind; exitCode?: number; contentType?: string },
): Buffer {
  return encodeResponse(frame, { payloadProtocol: ADMIN, payload: encodeMessage(AdminReplySchema, init) });
}

function fails(work: Promise<unknown>, code: BrokerErrorCode, check?: string): Promise<void> {
  return assert.rejects(
    work,
    (error) =>
      (hasCode(error, code) && (check === undefined || error.details.check === check)) || assert.fail(String(error)),
  );
}

test("a request carries its fields, and the answer all of its own", async (t) => {
  let seen: AdminRequest | undefined;
  const path = await listen(t, (socket, frame) => {
    assert.equal(frame.payloadProtocol, ADMIN);
    seen = decodeMessage(AdminRequestSchema, frame.payload);
    socket.end(reply(frame, { body: "{}", kind: AdminReplyKind.JSON, exitCode: 3, contentType: "application/json" }));
  });
  const platform = await loadPlatform();
  const query = {
    verb: AdminVerb.SHUTDOWN,
    json: true,
    serviceName: "demo",
    outputPath: "/o",
    drainDeadlineMs: 1500,
    withBackends: true,
  };
  const answer = await adminRequest(platform, path, query, { holdPeer: true });
  t.after(() => answer.peer?.close());
  assert.deepEqual(
    { ...answer, peer: undefined },
    { kind: "json", body: "{}", exitCode: 3, contentType: "application/json", peerPid: process.pid, peer: undefined },
  );
  assert.equal(answer.peer?.pid, process.pid);
  assert.deepEqual(
    [seen?.verb, seen?.json, seen?.serviceName, seen?.outputPath, seen?.drainDeadlineMs, seen?.withBackends],
    [AdminVerb.SHUTDOWN, true, "demo", "/o", 1500n, true],
  );
});

test("nothing at the path, and a socket nobody listens on, are no broker", async (t) => {
  const platform = await loadPlatform();
  const directory = mkdtempSync(join(tmpdir(), "ac-"));
  t.after(() => rmSync(directory, { recursive: true }));
  await assert.rejects(
    adminRequest(platform, join(directory, "none"), { verb: AdminVerb.HEALTHZ }),
    (error) => hasCode(error, "BROKER_UNAVAILABLE") && error.details.errno === "ENOENT" && !/stale/.test(error.message),
  );
  const listener = platform.transport.listen(join(directory, "stale"));
  listener.close();
  await assert.rejects(
    adminRequest(platform, join(directory, "stale"), { verb: AdminVerb.HEALTHZ }),
    (error) =>
      hasCode(error, "BROKER_UNAVAILABLE") && error.details.errno === "ECONNREFUSED" && /stale/.test(error.message),
  );
});

test("a path below a file, a file that is no socket, and a listener that ended with our connection in its queue, are no broker", async (t) => {
  const platform = await loadPlatform();
  const directory = mkdtempSync(join(tmpdir(), "ac-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const file = join(directory, "file");
  writeFileSync(file, "");
  // Linux queues a connection at once; where accept(2) makes it, this is what connect(2) says.
  const connectReset = async (path: string): Promise<never> => {
    throw systemCallFailed({ syscall: "connect", errno: "ECONNRESET", path });
  };
  const resetting = { ...platform, transport: { ...platform.transport, connect: connectReset } };
  for (const [ports, path, errno, why] of [
    [platform, join(file, "below"), "ENOTDIR", /: nothing is at /],
    [platform, file, "ECONNREFUSED", /: its socket is stale: /],
    [resetting, file, "ECONNRESET", /: its socket is stale: /],
  ] as const)
    await assert.rejects(
      adminRequest(ports, path, { verb: AdminVerb.HEALTHZ }),
      (error) => hasCode(error, "BROKER_UNAVAILABLE") && error.details.errno === errno && why.test(error.message),
      errno,
    );
});

test("a listener of another user is told nothing", async (t) => {
  let frames = 0;
  const path = await listen(t, () => frames++);
  const platform = await loadPlatform();
  const user = { ...platform.user, owns: () => false };
  await fails(adminRequest({ ...platform, user }, path, { verb: AdminVerb.HEALTHZ }), "PEER_UNVERIFIED");
  assert.equal(frames, 0);
});

test("a broker that closes without an answer, or in the middle of one", async (t) => {
  const platform = await loadPlatform();
  const silent = await listen(t, (socket) => socket.end());
  await fails(adminRequest(platform, silent, { verb: AdminVerb.HEALTHZ }), "CONNECTION_CLOSED");
  const torn = await listen(t, (socket, frame) => socket.end(reply(frame, { body: "ok\n" }).subarray(0, 9)));
  await fails(adminRequest(platform, torn, { verb: AdminVerb.HEALTHZ }), "CONNECTION_CLOSED");
});

test("a broker that does not answer costs no more than the deadline", async (t) => {
  const platform = await loadPlatform();
  const path = await listen(t, () => {});
  await fails(
    adminRequest(platform, path, { verb: AdminVerb.HEALTHZ }, { deadline: Deadline.after(platform.clock, 20) }),
    "DEADLINE_EXCEEDED",
  );
});

test("an answer that is none is refused, field by field", async (t) => {
  const platform = await loadPlatform();
  const payload = encodeMessage(AdminReplySchema, { body: "ok\n" });
  for (const [bytes, code, check] of [
    [
      (frame: Frame) => encodeRequest({ payloadProtocol: ADMIN, payload, requestId: frame.requestId }),
      "FRAME_UNEXPECTED",
      "kind",
    ],
    [(frame: Frame) => encodeResponse(frame, { payloadProtocol: 0, payload }), "FRAME_UNEXPECTED", "payload_protocol"],
    [
      (frame: Frame) =>
        encodeResponse({ ...frame, requestId: frame.requestId + 1n }, { payloadProtocol: ADMIN, payload }),
      "FRAME_UNEXPECTED",
      "request_id",
    ],
    [
      (frame: Frame) => encodeResponse(frame, { payloadProtocol: ADMIN, payload: Buffer.from([0xff]) }),
      "MESSAGE_MALFORMED",
      undefined,
    ],
    [() => Buffer.from([2, 0, 0, 0, 0]), "FRAMING_VERSION_UNSUPPORTED", undefined],
  ] as const) {
    const path = await listen(t, (socket, frame) => socket.end(bytes(frame)));
    await fails(adminRequest(platform, path, { verb: AdminVerb.HEALTHZ }), code, check);
  }
});

test("the time-out variable takes a positive whole number of milliseconds, anything else counts as unset", () => {
  for (const [text, ms] of [
    ["1500", 1500],
    [" 20 ", 20],
    ["0", 30_000],
    ["-1", 30_000],
    ["1.5", 30_000],
    ["x", 30_000],
    ["", 30_000],
    [undefined, 30_000],
  ] as const) {
    assert.equal(adminTimeoutMs({ RUNNING_PROCESS_BROKER_CLIENT_TIMEOUT_MS: text }), ms);
  }
});
