/** A connected socket as a session: the frame client, and beside it the way the connection was made. */
import type { Clock } from "../base/clock.ts";
import { encodeRequest } from "../wire/envelope.ts";
import { createFrameClient, type FrameClient, type FrameClientOptions } from "./frame-client.ts";
import type { Connected, ConnectOptions, Route } from "./options.ts";
import type { FirstRequest } from "./request-options.ts";
import type { UnconfirmedOptions } from "./unconfirmed.ts";

export type SessionOptions = ConnectOptions & FrameClientOptions & { readonly firstRequest?: FirstRequest };

/** Requests and responses with one backend, and how it was reached. Keeps the process alive until closed or `unref`. */
export type Session = FrameClient & {
  readonly connection: Route;
  /** The response to `firstRequest`; undefined without one. Rejects as `request` does. */
  readonly firstResponse: Promise<Uint8Array> | undefined;
};

type SessionConnected = Connected & { readonly unconfirmed?: UnconfirmedOptions; readonly pipelined?: boolean };

/** The bytes of a first request that may travel with the Hello. @throws BrokerError FRAME_TOO_LARGE */
export function pipelinedBytes(first: FirstRequest | undefined): Uint8Array | undefined {
  if (first === undefined) return undefined;
  if (!first.idempotent) return undefined;
  const { protocol, payload, traceparent = "", tracestate = "" } = first;
  return encodeRequest({ payloadProtocol: protocol, payload, requestId: 1n, traceparent, tracestate });
}

/** Takes over the socket. */
export function createSession(connected: SessionConnected, clock: Clock, options: SessionOptions): Session {
  const { socket, unconfirmed, pipelined, ...connection } = connected;
  const { firstRequest: first, onEvent } = options;
  const client = createFrameClient(socket, clock, {
    ...(onEvent && { onEvent }),
    ...(unconfirmed && { unconfirmed }),
    firstRequestSent: first !== undefined && pipelined === true,
  });
  const firstResponse = first && client.request(first.protocol, first.payload, first);
  // Its owner may look at it later, or never.
  firstResponse?.catch(() => {});
  return Object.assign(client, { connection, firstResponse });
}
