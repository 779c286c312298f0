/** A connected socket as a session: the frame client, and beside it the way the connection was made. */
import type { Clock } from "../base/clock.ts";
import { createFrameClient, type FrameClient, type FrameClientOptions } from "./frame-client.ts";
import type { Connected, ConnectOptions, Route } from "./options.ts";

export type SessionOptions = ConnectOptions & FrameClientOptions;

/** Requests and responses with one backend, and how it was reached. Keeps the process alive until closed or `unref`. */
export type Session = FrameClient & { readonly connection: Route };

/** Takes over the socket. */
export function createSession(connected: Connected, clock: Clock, options: FrameClientOptions): Session {
  const { socket, ...connection } = connected;
  return Object.assign(createFrameClient(socket, clock, options), { connection });
}
