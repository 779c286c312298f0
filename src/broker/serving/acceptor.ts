/**
 * Takes connections in and has each served by itself. Knows two limits: the end of bounded mode, which counts accepts, and
 * the end of descriptors, at which whoever met it is told and accepting rests for a moment.
 */
import { Deadline } from "../../base/clock.ts";
import { createFdGuard, FD_PRESSURE_PAUSE_MS, FD_PRESSURE_RETRY_MS } from "../../model/fd-guard.ts";
import { type Refusal, refuse } from "../../model/refusal.ts";
import type { AcceptError, Connection, Listener, Platform } from "../../platform/ports/index.ts";
import type { Frame } from "../../wire/messages.ts";
import type { BrokerEvents } from "../events/events.ts";
import type { Connections } from "./connections.ts";
import { type ServeHow, type ServeOptions, serveConnection } from "./conversation.ts";

export interface AcceptorOptions {
  readonly platform: Pick<Platform, "clock">;
  readonly connections: Connections;
  readonly events: BrokerEvents;
  /** The one to accept on right now, if there is any. */
  readonly listener: () => Listener | undefined;
  readonly serve: () => ServeOptions;
  /** Undefined: no limit. */
  readonly maxConnections: number | undefined;
  readonly isStopping: () => boolean;
  /** The last connection of bounded mode has been served. */
  readonly onLast: () => void;
}

export interface Acceptor {
  /** So far, also of a broker whose place this one took. */
  accepted: number;
  /** Descriptors ran out, and nothing has been accepted since. */
  readonly demoted: boolean;
  /** Begins, or goes on after the listener changed. */
  begin(): void;
  /** Serves a connection whose request another process has accepted and read. Consumes the connection. */
  takeOver(connection: Connection, request: Frame): void;
  /** Why a Hello gets none for want of descriptors; undefined when there is no want. */
  refusal(): Refusal | undefined;
}

/** From accept to the last byte, for the peer that holds the last descriptor: until it is gone nobody else is answered. */
const PRESSED_REQUEST_TIMEOUT_MS = 1_000;

export function createAcceptor(options: AcceptorOptions): Acceptor {
  return new ConnectionAcceptor(options);
}

class ConnectionAcceptor implements Acceptor {
  accepted = 0;
  private readonly fdGuard = createFdGuard();

  constructor(private readonly options: AcceptorOptions) {}

  get demoted(): boolean {
    return this.fdGuard.demoted;
  }

  begin(): void {
    // Taken over from a broker that had accepted its last one, or begun again after that.
    if (this.accepted >= (this.options.maxConnections ?? Number.POSITIVE_INFINITY)) return this.end();
    this.options.listener()?.accept({
      onConnection: (connection, alone) => {
        if (this.fdGuard.accepted()) this.options.events.fdRecovered();
        this.take(connection, this.options.serve(), alone);
      },
      onError: (error) => this.failed(error),
    });
  }

  takeOver(connection: Connection, request: Frame): void {
    this.serve(connection, this.options.serve(), { alone: true, request });
  }

  refusal(): Refusal | undefined {
    if (!this.fdGuard.demoted) return undefined;
    this.fdGuard.countRefusal();
    return refuse("FD_PRESSURE", "broker is low on file descriptors; retry shortly", {
      retryAfterMs: FD_PRESSURE_RETRY_MS,
    });
  }

  private take(connection: Connection, serve: ServeOptions, alone: boolean): void {
    this.serve(connection, serve, { alone });
    this.count();
  }

  private serve(connection: Connection, serve: ServeOptions, how: ServeHow): void {
    const { connections } = this.options;
    connections.add(connection);
    void serveConnection(connection, serve, how);
  }

  /** Bounded mode counts accepts, dropped peers and exhausted ones included. */
  private count(): void {
    this.accepted++;
    if (this.accepted !== this.options.maxConnections) return;
    this.options.listener()?.pause();
    this.end();
  }

  private end(): void {
    void this.options.connections.idle().then(this.options.onLast);
  }

  private failed(error: AcceptError): void {
    const { platform, events, listener, isStopping } = this.options;
    if (!error.resource) return events.acceptFailed(error.errno);
    if (this.fdGuard.exhausted()) events.fdExhausted(error.errno);
    if (error.rejected !== undefined) this.take(error.rejected, this.pressed(), true);
    else this.count();
    listener()?.pause();
    platform.clock.schedule(FD_PRESSURE_PAUSE_MS, () => {
      if (!isStopping()) this.begin();
    });
  }

  private pressed(): ServeOptions {
    const { clock } = this.options.platform;
    return { ...this.options.serve(), requestDeadline: () => Deadline.after(clock, PRESSED_REQUEST_TIMEOUT_MS) };
  }
}
