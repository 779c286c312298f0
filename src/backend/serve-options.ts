/** What the ready-made server is given and what it gives. */
import type { Socket } from "node:net";
import type { BackendIdentity } from "../model/identity.ts";
import type { Env, Platform } from "../platform/ports/index.ts";
import type { LegacyDetector } from "./classify.ts";
import type { BootstrapOptions } from "./contract.ts";
import type { ControlHooks } from "./control-hooks.ts";
import type { BackendLease } from "./work-ledger.ts";

/** One request of a client. */
export interface BackendRequest {
  readonly payload: Uint8Array;
  readonly protocol: number;
  readonly requestId: bigint;
  /** W3C trace context of the client, empty when it sent none; the response carries both strings back by itself. */
  readonly traceparent: string;
  readonly tracestate: string;
  /**
   * Fires when the answer will hardly be read any more: the client ended its side, the connection broke, or the time
   * for stopping is up. A handler may ignore it.
   */
  readonly signal: AbortSignal;
}

/**
 * Answers one request with the payload of the response, at most 16 MiB with its envelope. Requests of one connection
 * run concurrently and are answered as they finish. The protocol has no error frame: a handler that throws costs its
 * client the connection, so failures that clients are to understand belong into the payload.
 */
export type BackendHandler<S = unknown> = (request: BackendRequest, state: S) => Uint8Array | Promise<Uint8Array>;

/** A wire of the daemon's own on the same endpoint. */
export interface LegacyWire<S = unknown> {
  /** Default: every message that does not begin with the byte 0x01 is legacy. */
  readonly detect?: LegacyDetector;
  /**
   * Takes over the connection for good, paused, with `head` holding what was read of it and not answered. To hand it
   * to a library, put the bytes back first: `socket.unshift(head)`. `signal` fires when the backend is to stop; sockets
   * that are open when the time for stopping is up are destroyed. What it throws costs only this connection.
   */
  onSocket(socket: Socket, head: Buffer, context: { readonly state: S; readonly signal: AbortSignal }): void;
}

interface CommonOptions<S> extends BootstrapOptions, ControlHooks {
  /** Serves another wire beside probes and frames. Default: none; other bytes close the connection. */
  readonly legacy?: LegacyWire<S>;
  /**
   * Everything slow, started once the endpoint is held. Until it is done probes are answered and requests wait; when it
   * fails, the backend ends and `closed` rejects. `signal` fires when the backend is to stop before that.
   */
  load?(context: { readonly signal: AbortSignal }): S | Promise<S>;
  /**
   * Gives back what the daemon itself holds (timers, watchers, unsaved state), once no connection is left and before
   * `closed` settles. Waited for as long as `stopTimeoutMs`, counted from the start of the stop, allows.
   */
  onStop?(): void | Promise<void>;
  /**
   * Socket on which a broker that dials may hand client connections over (the reference's `--handoff-endpoint`), mode
   * 0600. Default: none; a broker of ours uses the control channel that this process inherited.
   */
  readonly handoffEndpoint?: string;
  /** File to publish the identity in while the backend runs; its directory must exist. Default: none. */
  readonly sidecarPath?: string;
  /**
   * Milliseconds that requests in flight may take once the backend is to stop, like systemd's TimeoutStopSec.
   * Default 10 000. Sane: less than what the broker waits before it kills.
   */
  readonly stopTimeoutMs?: number;
  /** Requests of one connection in progress or with an unread answer; beyond it the connection is not read. Default 256. */
  readonly maxInFlightPerConnection?: number;
  /**
   * Is an open connection of a client work, so that the broker does not count this backend as idle? Default true: nobody
   * loses a connection for want of requests. False where clients keep connections that they can open again.
   */
  readonly countConnections?: boolean;
  /** SIGTERM and SIGINT stop the backend gracefully, a second one at once. Default true. */
  readonly handleSignals?: boolean;
  /**
   * Hears of faults that end a connection (what a handler threw, malformed frames) or spoil a convenience (the sidecar
   * cannot be written). Must not throw. Default of `serve`: a line on stderr; of `serveBackend`: nothing.
   */
  onError?(error: unknown): void;
}

/** One protocol with its handler, several of them, or none for a backend with only a legacy wire. */
export type ServeOptions<S = unknown> = CommonOptions<S> &
  (
    | { readonly protocol: number; readonly handle: BackendHandler<S>; readonly protocols?: never }
    | {
        readonly protocols: Readonly<Record<number, BackendHandler<S>>>;
        readonly protocol?: never;
        readonly handle?: never;
      }
    | { readonly legacy: LegacyWire<S>; readonly protocols?: never; readonly protocol?: never; readonly handle?: never }
  );

export interface ServeEnvironment {
  readonly platform: Platform;
  /** The launch's own variables, already taken out of the process environment. */
  readonly launchEnv: Env;
  /** Default: signals are not handled. */
  readonly onTerminationSignal?: (callback: (signal: "SIGTERM" | "SIGINT") => void) => { dispose(): void };
}

/** Why a backend ended. */
export type BackendCloseReason = "requested" | "signal" | "quiesced";

export interface RunningBackend {
  /** Path of the socket. */
  readonly endpoint: string;
  /** Resolves once the executable has been read; rejects with IO_FAILED when it cannot be, and probes fail then. */
  readonly identity: Promise<BackendIdentity>;
  /**
   * Resolves when the backend has ended: nothing accepted, no connection open, socket, lock and sidecar gone. Rejects
   * with what `load` threw; unhandled, that ends the process with status 1.
   */
  readonly closed: Promise<BackendCloseReason>;
  /** Connections open, handed-over ones included. */
  readonly connections: number;
  /**
   * Says that there is work which no request shows: while a lease is held, the broker does not count this backend as
   * idle, and a quiesce waits for it. `reason` is for people. Does not keep the process alive, nor put off `stop`.
   */
  lease(reason: string): BackendLease;
  /** Accepts nothing more, lets requests in flight finish and ends. Later calls join the first. */
  stop(): Promise<void>;
}
