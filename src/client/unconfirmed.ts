/**
 * A connection that was handed to the backend, but of which nothing has been heard yet (docs/protocol.md, "Direct mode").
 * Until the backend's first frame the requests sent on it are kept, because one of three things may still happen:
 *
 *   first frame            the backend has it; everything kept is forgotten
 *   refusal by the broker  nothing was read by anybody: all of them are sent again on a connection of our own
 *   end of the stream      unknown whether anything was read: only those that may run twice are sent again
 */
import type { Socket } from "node:net";
import { readReadyEvent } from "../wire/handoff.ts";
import type { Frame } from "../wire/messages.ts";

export interface UnconfirmedOptions {
  /** Token of the handoff; only the broker and the backend know it, too. */
  readonly token: Uint8Array;
  /** Connects to the backend's endpoint. */
  readonly reconnect: () => Promise<Socket>;
}

export interface SentRequest {
  readonly bytes: Uint8Array;
  readonly idempotent: boolean;
}

export interface Unconfirmed {
  readonly reconnect: () => Promise<Socket>;
  /** Requests sent so far, by id, in order. */
  readonly sent: ReadonlyMap<bigint, SentRequest>;
  keep(id: bigint, request: SentRequest): void;
  /** It was given up or answered. */
  forget(id: bigint): void;
  /** What the first frame on the connection means. */
  judge(frame: Frame): "confirmed" | "refused";
}

export function createUnconfirmed(options: UnconfirmedOptions): Unconfirmed {
  const sent = new Map<bigint, SentRequest>();
  return {
    reconnect: options.reconnect,
    sent,
    keep: (id, request) => void sent.set(id, request),
    forget: (id) => void sent.delete(id),
    judge: (frame) => (readReadyEvent(frame, options.token) === "refused" ? "refused" : "confirmed"),
  };
}
