/** A Unix-socket server that does to each connection what the test says, for the broker's part and the backend's. */
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { encodeMessage } from "../../../src/wire/codec.ts";
import { decodeFrame, encodeResponse } from "../../../src/wire/envelope.ts";
import { createFrameDecoder } from "../../../src/wire/frame-decoder.ts";
import { type Frame, type HelloReply, HelloReplySchema } from "../../../src/wire/messages.ts";

/** Mode 0700, removed when the test ends. */
export function temporaryDirectory(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), "cl-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

export interface ScriptedServer {
  readonly path: string;
  /** How many connections came so far. */
  readonly count: number;
  close(): Promise<void>;
}

/** `onConnection` gets each connection with its number, from 0. */
export async function listen(
  t: TestContext,
  path: string,
  onConnection: (socket: Socket, number: number) => void,
): Promise<ScriptedServer> {
  const sockets = new Set<Socket>();
  let count = 0;
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    onConnection(socket, count++);
  });
  server.listen(path);
  await once(server, "listening");
  const close = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy();
    if (!server.listening) return;
    server.close();
    await once(server, "close");
  };
  t.after(close);
  return {
    path,
    get count() {
      return count;
    },
    close,
  };
}

/** Calls back with the first frame. */
export function onFirstFrame(socket: Socket, callback: (frame: Frame) => void): void {
  const decoder = createFrameDecoder();
  const onData = (chunk: Buffer): void => {
    decoder.push(chunk);
    const body = decoder.next();
    if (body === undefined) return;
    socket.off("data", onData);
    callback(decodeFrame(body));
  };
  socket.on("data", onData);
}

type Init<T> = { [K in keyof T]?: T[K] };
type Negotiated = Extract<HelloReply["result"], { case: "negotiated" }>["value"];
type Refused = Extract<HelloReply["result"], { case: "refused" }>["value"];

export function encodeNegotiated(fields: Init<Negotiated>): Uint8Array {
  return encodeMessage(HelloReplySchema, {
    result: { case: "negotiated", value: { negotiatedProtocol: 1, ...fields } },
  });
}

export function encodeRefused(fields: Init<Refused>): Uint8Array {
  return encodeMessage(HelloReplySchema, {
    result: { case: "refused", value: { daemonMinProtocol: 1, daemonMaxProtocol: 1, ...fields } },
  });
}

/** Answers the Hello and closes, as a broker does. */
export function answerHello(socket: Socket, reply: (hello: Frame) => Uint8Array): void {
  onFirstFrame(socket, (hello) => socket.end(encodeResponse(hello, { payloadProtocol: 0, payload: reply(hello) })));
}
