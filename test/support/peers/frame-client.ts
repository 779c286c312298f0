/** A frame client on one end of a connection, frames as its backend writes them, and its failures. */
import type { TestContext } from "node:test";
import { createFrameClient, type FrameClient, type FrameClientOptions } from "../../../src/client/frame-client.ts";
import { systemClock } from "../../../src/platform/node/clock.ts";
import { encodeMessage } from "../../../src/wire/codec.ts";
import { encodeFrameBytes } from "../../../src/wire/framing.ts";
import { type Frame, FrameKind, FrameSchema } from "../../../src/wire/messages.ts";
import { type BackendPair, createBackendPair } from "./backend-pair.ts";

export const PROTOCOL = 0xf00d;
export const bytes = (text: string): Uint8Array => Buffer.from(text);
export const text = (payload: Uint8Array): string => Buffer.from(payload).toString();

export async function setUp(
  t: TestContext,
  options: FrameClientOptions & { firstRequestId?: bigint } = {},
): Promise<{ pair: BackendPair; client: FrameClient }> {
  const pair = await createBackendPair(t);
  const client = createFrameClient(pair.client, systemClock, options);
  return { pair, client };
}

export function frameBytes(fields: Partial<Frame>): Buffer {
  const defaults = { envelopeVersion: 1, kind: FrameKind.RESPONSE, payloadProtocol: PROTOCOL };
  return encodeFrameBytes(encodeMessage(FrameSchema, { ...defaults, ...fields }));
}
