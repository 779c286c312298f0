/** A peer without any of our client code: bytes in, bytes out. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { isPeerGone } from "../../../src/base/peer-errno.ts";
import { decodeMessage, encodeMessage } from "../../../src/wire/codec.ts";
import { decodeFrame, encodeRequest } from "../../../src/wire/envelope.ts";
import { createFrameDecoder } from "../../../src/wire/frame-decoder.ts";
import {
  type AdminReply,
  AdminReplySchema,
  type Frame,
  type Hello,
  type HelloReply,
  HelloReplySchema,
  HelloSchema,
  type Negotiated,
  type Refused,
} from "../../../src/wire/messages.ts";
import type { Init } from "../../../src/wire/schema.ts";

/** Sends `bytes` and resolves with everything that came back until the other side closed. `end`: closes our writing side after sending. */
export function converse(path: string, bytes: Uint8Array, options: { end?: boolean } = {}): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const socket = connect(path);
    socket.on("data", (chunk) => chunks.push(chunk));
    socket.on("close", () => resolve(Buffer.concat(chunks)));
    socket.on("error", (error: NodeJS.ErrnoException) => {
      // The broker may close while we still write; what it said before counts.
      if (!isPeerGone(error)) reject(error);
    });
    socket.write(bytes);
    if (options.end) socket.end();
  });
}

/** As `converse`, and rejects also when the connection is reset. */
export async function converseStrictly(path: string, bytes: Uint8Array): Promise<Buffer> {
  const socket = await openRaw(path);
  const chunks: Buffer[] = [];
  socket.on("data", (chunk) => chunks.push(chunk));
  const ended = once(socket, "end");
  socket.write(bytes);
  await ended;
  return Buffer.concat(chunks);
}

export function openRaw(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path, () => resolve(socket));
    socket.once("error", reject);
  });
}

/** The one frame that `bytes` must hold. */
export function onlyFrame(bytes: Buffer): Frame {
  const decoder = createFrameDecoder();
  decoder.push(bytes);
  const body = decoder.next();
  if (body === undefined || decoder.bufferedBytes > 0)
    throw new Error(`expected exactly one frame, got ${bytes.length} bytes: ${bytes.toString("hex").slice(0, 200)}`);
  return decodeFrame(body);
}

export function helloReply(bytes: Buffer): HelloReply {
  return decodeMessage(HelloReplySchema, onlyFrame(bytes).payload);
}

export function adminReply(bytes: Buffer): AdminReply {
  return decodeMessage(AdminReplySchema, onlyFrame(bytes).payload);
}

export function refusedIn(reply: HelloReply): Refused {
  if (reply.result.case !== "refused")
    throw new Error(
      `expected a refusal, got ${JSON.stringify(reply, (_, value) => (typeof value === "bigint" ? String(value) : value))}`,
    );
  return reply.result.value;
}

export function negotiatedIn(reply: HelloReply): Negotiated {
  if (reply.result.case !== "negotiated")
    throw new Error(
      `expected Negotiated, got a refusal: ${reply.result.case === "refused" ? reply.result.value.reason : "empty reply"}`,
    );
  return reply.result.value;
}

export type HelloInit = Init<Hello>;

/** A well-formed Hello for `service`, changed by `init`. */
export function helloBytes(
  init: HelloInit,
  frame: { requestId?: bigint; traceparent?: string; tracestate?: string } = {},
): Buffer {
  const hello = { clientMinProtocol: 1, clientMaxProtocol: 1, wantedVersion: "1.0.0", ...init } as HelloInit;
  return encodeRequest({ payloadProtocol: 0, payload: encodeMessage(HelloSchema, hello), requestId: 1n, ...frame });
}

export async function sayHello(path: string, init: HelloInit): Promise<HelloReply> {
  return helloReply(await converse(path, helloBytes(init)));
}
