/** Two ends of one real Unix-socket connection: a client socket, and a backend whose every byte the test writes. */
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, connect as netConnect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { decodeFrame, encodeResponse } from "../../../src/wire/envelope.ts";
import { createFrameDecoder } from "../../../src/wire/frame-decoder.ts";
import type { Frame } from "../../../src/wire/messages.ts";

export interface BackendPair {
  readonly client: Socket;
  readonly backend: Socket;
  /** Frames the client sent, in order, each once. */
  nextFrame(): Promise<Frame>;
  /** Calls back with each frame from now on. */
  onFrame(callback: (frame: Frame) => void): void;
  answer(frame: Frame, payload: Uint8Array): void;
}

/** Closed and removed when the test ends. */
export async function createBackendPair(t: TestContext): Promise<BackendPair> {
  const directory = mkdtempSync(join(tmpdir(), "fc-"));
  const path = join(directory, "s");
  const server = createServer({ allowHalfOpen: true });
  server.listen(path);
  await once(server, "listening");
  const client = netConnect(path);
  const [backend] = (await once(server, "connection")) as [Socket];
  backend.on("error", () => {});
  t.after(() => {
    client.destroy();
    backend.destroy();
    server.close();
    rmSync(directory, { recursive: true });
  });
  const frames: Frame[] = [];
  const decoder = createFrameDecoder();
  let consume: ((frame: Frame) => void) | undefined;
  backend.on("data", (chunk: Buffer) => {
    decoder.push(chunk);
    for (let body = decoder.next(); body !== undefined; body = decoder.next()) {
      const frame = decodeFrame(body);
      if (consume === undefined) frames.push(frame);
      else consume(frame);
    }
  });
  const onFrame = (callback: (frame: Frame) => void): void => {
    consume = callback;
    for (const frame of frames.splice(0)) callback(frame);
  };
  return {
    client,
    backend,
    onFrame,
    nextFrame: () =>
      new Promise((resolve) => {
        const waiting = frames.shift();
        if (waiting !== undefined) return resolve(waiting);
        consume = (frame) => {
          consume = undefined;
          resolve(frame);
        };
      }),
    answer: (frame, payload) =>
      backend.write(encodeResponse(frame, { payloadProtocol: frame.payloadProtocol, payload })),
  };
}
