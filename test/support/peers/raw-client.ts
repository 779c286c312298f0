/** A client at byte level: sends what it is told, collects the frames that come back. */
import { connect, type Socket } from "node:net";
import { decodeFrame, encodeRequest } from "../../../src/wire/envelope.ts";
import { createFrameDecoder } from "../../../src/wire/frame-decoder.ts";
import type { Frame } from "../../../src/wire/messages.ts";

export interface RawClient {
  readonly socket: Socket;
  /** The next frame. Rejects when the connection ends first. */
  frame(): Promise<Frame>;
  /** Resolves when the connection is over, however it ended. */
  readonly over: Promise<void>;
}

export async function connectRaw(path: string): Promise<RawClient> {
  const socket = connect({ path, allowHalfOpen: true });
  await new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject));
  const decoder = createFrameDecoder();
  const frames: Frame[] = [];
  const waiting: { resolve(frame: Frame): void; reject(error: Error): void }[] = [];
  let finished = false;
  socket.on("data", (chunk: Buffer) => {
    decoder.push(chunk);
    for (let body = decoder.next(); body !== undefined; body = decoder.next()) {
      const frame = decodeFrame(body);
      const next = waiting.shift();
      if (next === undefined) frames.push(frame);
      else next.resolve(frame);
    }
  });
  const over = new Promise<void>((resolve) => {
    const finish = (): void => {
      finished = true;
      for (const next of waiting.splice(0)) next.reject(new Error("the connection ended"));
      resolve();
    };
    socket.on("end", finish);
    socket.on("close", finish);
    socket.on("error", finish);
  });
  return {
    socket,
    over,
    frame() {
      const ready = frames.shift();
      if (ready !== undefined) return Promise.resolve(ready);
      if (finished) return Promise.reject(new Error("the connection ended"));
      return new Promise((resolve, reject) => waiting.push({ resolve, reject }));
    },
  };
}

export function request(payload: string | Uint8Array, requestId = 1n, protocol = 0xf001): Buffer {
  return encodeRequest({
    payloadProtocol: protocol,
    payload: Buffer.from(payload),
    requestId,
    traceparent: "00-a-b-01",
    tracestate: "k=v",
  });
}

export function textOf(frame: Frame): string {
  return Buffer.from(frame.payload).toString();
}
