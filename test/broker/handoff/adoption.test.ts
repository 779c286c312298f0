/** The client's side of v1: what makes it adopt, and what makes it dial the backend instead (spec: handoff §12, §16). */
import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { type Connected, connect } from "../../../src/client/index.ts";
import { encodeResponse } from "../../../src/wire/envelope.ts";
import { encodeFrameBytes } from "../../../src/wire/framing.ts";
import { type Ack, encodeAck, encodeReadyEvent } from "../../../src/wire/handoff.ts";
import type { Frame } from "../../../src/wire/messages.ts";
import { sealedEnv } from "../../support/peers/connect-real.ts";
import { encodeNegotiated, listen, onFirstFrame, temporaryDirectory } from "../../support/peers/scripted-server.ts";

const token = Buffer.alloc(16, 3);
const ready: Ack = { token, accepted: true, errorDetail: "", correlationId: 9n };

interface Scene {
  readonly connected: Exclude<Connected, { route: "fallback" }>;
  /** Connections to the backend's endpoint; when the route says that there is one, it has come. */
  readonly dialled: number;
  /** The broker's end of the Hello connection. */
  readonly broker: Socket;
}

/** One call against a broker that answers with `negotiated` and goes on as `then` says. */
async function scene(
  t: TestContext,
  then: (socket: Socket) => void,
  negotiated: { serverCapabilities?: bigint; handlePassedToken?: Buffer } = {},
  adopt = true,
): Promise<Scene> {
  const directory = temporaryDirectory(t);
  let dialled: () => void = () => {};
  const dial = new Promise<void>((resolve) => {
    dialled = resolve;
  });
  const backend = await listen(t, `${directory}/be`, () => dialled());
  let said: Socket | undefined;
  const server = await listen(t, `${directory}/b`, (socket) => {
    said = socket;
    onFirstFrame(socket, (hello: Frame) => {
      const fields = { backendPipe: backend.path, serverCapabilities: 1n, handlePassedToken: token, ...negotiated };
      socket.write(encodeResponse(hello, { payloadProtocol: 0, payload: encodeNegotiated(fields) }));
      then(socket);
    });
  });
  const connected = await connect({
    service: "demo",
    version: "1.2.3",
    env: sealedEnv(directory),
    broker: { endpoint: server.path, autoStart: false },
    adopt,
  });
  t.after(() => connected.socket.destroy());
  assert.ok(connected.route !== "fallback" && said !== undefined);
  if (connected.route === "negotiated") await dial;
  return { connected, dialled: backend.count, broker: said };
}

test("the ready event comes: the Hello connection is the backend's, to the last byte", async (t) => {
  // The backend's first bytes may be right behind the event.
  const { connected, dialled, broker } = await scene(t, (socket) =>
    socket.write(Buffer.concat([encodeReadyEvent(ready), Buffer.from("hello")])),
  );
  assert.ok(connected.route === "handed-off" && !connected.direct);
  assert.match(connected.endpoint, /\/be$/);
  assert.equal(dialled, 0);
  const got = new Promise((resolve) => connected.socket.once("data", (chunk) => resolve(String(chunk))));
  assert.equal(await got, "hello");
  connected.socket.write("c");
  assert.equal(await new Promise((resolve) => broker.once("data", (chunk) => resolve(String(chunk)))), "c");
});

test("the correlation id of the event is not compared", async (t) => {
  const { connected } = await scene(t, (socket) => socket.write(encodeReadyEvent({ ...ready, correlationId: 4711n })));
  assert.equal(connected.route, "handed-off");
});

const DOWNGRADES: readonly (readonly [string, (socket: Socket) => void])[] = [
  ["says accepted = false", (socket) => socket.write(encodeReadyEvent({ ...ready, accepted: false }))],
  ["names another token", (socket) => socket.write(encodeReadyEvent({ ...ready, token: Buffer.alloc(16, 4) }))],
  ["names no token", (socket) => socket.write(encodeReadyEvent({ ...ready, token: Buffer.alloc(0) }))],
  ["is a response", (socket) => socket.write(encodeAck(ready))],
  ["is no message", (socket) => socket.write(encodeFrameBytes(Buffer.from("\xff\xff\xff")))],
  ["is of another framing", (socket) => socket.write("HTTP/1.1 400 Bad Request\r\n\r\n")],
  ["claims to be too large", (socket) => socket.write(Buffer.of(1, 0xff, 0xff, 0xff, 0xff))],
  ["is cut off", (socket) => socket.end(encodeReadyEvent(ready).subarray(0, 9))],
  ["is the end of the stream", (socket) => socket.end()],
  ["is a reset", (socket) => socket.destroy()],
  // Two seconds.
  ["does not come", () => {}],
];

for (const [what, then] of DOWNGRADES) {
  test(`what follows Negotiated ${what}: the backend is dialled`, async (t) => {
    const { connected, dialled } = await scene(t, then);
    assert.equal(connected.route, "negotiated");
    assert.equal(dialled, 1);
  });
}

for (const [what, fields] of [
  ["bit", { serverCapabilities: 1n << 8n }],
  ["token", { handlePassedToken: Buffer.alloc(0) }],
] as const) {
  test(`without the ${what} nothing is waited for`, async (t) => {
    const { connected, dialled } = await scene(t, () => {}, fields);
    assert.deepEqual([connected.route, dialled], ["negotiated", 1]);
    assert.ok(connected.timings.totalMs < 1_900);
  });
}

test("a broker that grants direct mode to who did not offer it is taken for a v1 one", async (t) => {
  const direct = { serverCapabilities: 1n | (1n << 32n) };
  const { connected } = await scene(t, (socket) => socket.write(encodeReadyEvent(ready)), direct);
  assert.ok(connected.route === "handed-off" && !connected.direct);
});

test("who does not adopt dials at once, whatever the broker offers", async (t) => {
  const { connected, dialled } = await scene(t, () => {}, {}, false);
  assert.deepEqual([connected.route, dialled], ["negotiated", 1]);
});
