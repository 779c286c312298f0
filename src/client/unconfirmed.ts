/**
 * A connection that was handed to the backend, but of which nothing has been heard yet (docs/protocol.md, "Direct mode").
 * Until the backend's first frame the requests sent on it are kept, because one of three things may still happen:
 *
 *   first frame            the backend has it; everything kept is forgotten
 *   refusal by the broker  nothing was read by anybody: all of them are sent again on a connection of our own
 *   end of the stream      unknown whether anything was read: only those that may run twice are sent again
 *
 * The connection of our own gets a second chance, too: when the handoff failed because the backend is dying, its
 * endpoint still takes connections for a moment.
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
  /** For the connection that takes its place, with nothing sent; undefined: that one is not to be replaced. */
  successor(): Unconfirmed | undefined;
}

export function createUnconfirmed(options: UnconfirmedOptions): Unconfirmed {
  const handedOver = (frame: Frame) => (readReadyEvent(frame, options.token) === "refused" ? "refused" : "confirmed");
  const dialled = () =>
    create(
      options.reconnect,
      () => "confirmed",
      () => undefined,
    );
  return create(options.reconnect, handedOver, dialled);
}

function create(
  reconnect: Unconfirmed["reconnect"],
  judge: Unconfirmed["judge"],
  successor: Unconfirmed["successor"],
): Unconfirmed {
  const sent = new Map<bigint, SentRequest>();
  return {
    reconnect,
    sent,
    keep: (id, request) => void sent.set(id, request),
    forget: (id) => void sent.delete(id),
    judge,
    successor,
  };
}
