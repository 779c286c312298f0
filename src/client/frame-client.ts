/**
 * Requests and responses on one connection to a backend. Any number of requests may be in flight; a response finds its
 * request by id, in whatever order the backend answers.
 *
 * Two kinds of failure are kept apart. What concerns one request (its time was up, its answer has the wrong protocol)
 * ends that request only: frames are matched by id, so the stream stays in step. What makes the stream itself doubtful
 * (a broken frame, the id of no request, the end of it) ends the connection and every request on it. The states of
 * the connection are in frame-connection.ts.
 */

import type { Socket } from "node:net";
import { type Clock, Deadline, type Timer } from "../base/clock.ts";
import type { BrokerError } from "../base/errors.ts";
import { brokerErrorFrom } from "../base/system-error.ts";
import { checkEnvelope, encodeRequest, frameUnexpected } from "../wire/envelope.ts";
import { type Frame, FrameKind } from "../wire/messages.ts";
import { createAbortFanout } from "./abort-fanout.ts";
import { aborted, afterTheEnd, expired, expiredByDefault, maybeCarriedOut } from "./frame-client-errors.ts";
import { FrameConnection } from "./frame-connection.ts";
import { createPendingRequests, type PendingRequests } from "./pending-requests.ts";
import { createRequestLimit, type RequestLimit } from "./request-limit.ts";
import { checkRequestOptions, type RequestOptions } from "./request-options.ts";
import type { UnconfirmedOptions } from "./unconfirmed.ts";

/** A frame the backend sent on its own. */
export interface BackendEvent {
  readonly protocol: number;
  readonly payload: Uint8Array;
}

export interface FrameClientOptions {
  /** Called for each EVENT frame, in order. Default: they are dropped. What it throws is an uncaught exception. */
  readonly onEvent?: (event: BackendEvent) => void;
}

export interface FrameClient {
  /**
   * Sends `payload` and resolves with the payload of the response. `payload` must not change until then. `protocol`
   * is a number for consumers: 0x7000-0x7EFF or 0xF000-0xFFFF.
   *
   * @throws BrokerError PAYLOAD_PROTOCOL_INVALID, OPTION_INVALID, TOO_MANY_REQUESTS (1024 in flight), FRAME_TOO_LARGE
   * (above 16 MiB), DEADLINE_EXCEEDED, ABORTED, CONNECTION_CLOSED; FRAME_UNEXPECTED, FRAME_TOO_LARGE,
   * FRAMING_VERSION_UNSUPPORTED or MESSAGE_MALFORMED for what the backend sent
   */
  request(protocol: number, payload: Uint8Array, options?: RequestOptions): Promise<Uint8Array>;
  /** Requests that wait for their response. */
  readonly inFlight: number;
  /** Resolves when the connection is over: with what broke it, or with undefined after `close`. Never rejects. */
  readonly closed: Promise<BrokerError | undefined>;
  /** Ends the connection; requests in flight fail with CONNECTION_CLOSED. May be called again. */
  close(): Promise<void>;
  /** Lets the process end while the connection is open. An open connection keeps it alive by default. */
  unref(): void;
  ref(): void;
  [Symbol.asyncDispose](): Promise<void>;
}

interface InternalOptions extends FrameClientOptions {
  /** For tests. Default 1. */
  readonly firstRequestId?: bigint;
  /** The first request is on the socket already. */
  readonly firstRequestSent?: boolean;
  /** The socket was handed over and nothing was heard of it yet. */
  readonly unconfirmed?: UnconfirmedOptions;
}

/** Takes over a connected socket nobody has read from. */
export function createFrameClient(socket: Socket, clock: Clock, options: InternalOptions = {}): FrameClient {
  return new SocketFrameClient(socket, clock, options);
}

interface Waiting {
  readonly protocol: number;
  readonly resolve: (payload: Uint8Array) => void;
  readonly reject: (error: BrokerError) => void;
  /** When it began, for the default limit (request-limit.ts). Undefined with a limit of its own, or none. */
  readonly period: number | undefined;
  /** Timer and abort listener. */
  readonly disarm: () => void;
}

const NOTHING_ARMED = (): void => {};

class SocketFrameClient implements FrameClient {
  readonly closed: Promise<BrokerError | undefined>;
  private readonly aborts = createAbortFanout();
  private readonly pending: PendingRequests<Waiting>;
  private readonly limit: RequestLimit;
  /** Not `connection`: a session has a public property of that name (session.ts). */
  private readonly stream: FrameConnection;
  private firstRequestSent: boolean;
  private settleClosed: (fault: BrokerError | undefined) => void = () => {};

  constructor(
    socket: Socket,
    private readonly clock: Clock,
    private readonly options: InternalOptions,
  ) {
    this.pending = createPendingRequests(
      options.firstRequestId === undefined ? {} : { firstId: options.firstRequestId },
    );
    this.limit = createRequestLimit(clock, () => this.expireOverdue());
    this.firstRequestSent = options.firstRequestSent ?? false;
    this.closed = new Promise((resolve) => {
      this.settleClosed = resolve;
    });
    const events = {
      onFrame: (frame: Frame) => this.receive(frame),
      onMaybeCarriedOut: (id: bigint) => this.fail(id, maybeCarriedOut(), { abandoned: false }),
      onBroken: (fault: BrokerError | undefined) => this.end(fault),
    };
    this.stream = new FrameConnection(socket, events, options.unconfirmed);
  }

  get inFlight(): number {
    return this.pending.size;
  }

  /** Not async: that would be a second promise, and three more turns of their queue before the answer is there. */
  request(protocol: number, payload: Uint8Array, options: RequestOptions = {}): Promise<Uint8Array> {
    return new Promise<Uint8Array>((resolve, reject) => {
      this.checkRequest(protocol, payload, options);
      const period = options.timeoutMs === undefined ? this.limit.begin() : undefined;
      const id = this.pending.add({ protocol, resolve, reject, period, disarm: () => disarm() });
      const disarm = this.armLimits(id, protocol, options);
      this.stream.send(id, () => this.encode(id, protocol, payload, options));
    });
  }

  private checkRequest(protocol: number, payload: Uint8Array, options: RequestOptions): void {
    checkRequestOptions(protocol, payload, options);
    if (options.signal?.aborted) {
      if (this.firstRequestSent) this.disownFirst(protocol);
      throw aborted(protocol, options.signal);
    }
    const { state } = this.stream;
    if (state.kind === "broken") throw afterTheEnd(state.error);
  }

  async close(): Promise<void> {
    this.stream.break(undefined);
    await this.stream.closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  unref(): void {
    this.stream.unref();
  }

  ref(): void {
    this.stream.ref();
  }

  /** Given up before we knew of it, but the backend will answer it: its id must not be given to another one. */
  private disownFirst(protocol: number): void {
    this.firstRequestSent = false;
    const ignore = (): void => {};
    const id = this.pending.add({ protocol, resolve: ignore, reject: ignore, period: undefined, disarm: ignore });
    this.pending.remove(id, { abandoned: true });
  }

  private encode(id: bigint, protocol: number, payload: Uint8Array, options: RequestOptions): Uint8Array | undefined {
    try {
      const { traceparent = "", tracestate = "" } = options;
      const bytes = encodeRequest({ payloadProtocol: protocol, payload, requestId: id, traceparent, tracestate });
      this.stream.keep(id, bytes, options.idempotent ?? false);
      const alreadySent = this.firstRequestSent;
      this.firstRequestSent = false;
      return alreadySent ? undefined : bytes;
    } catch (error) {
      // It may run on the stack of a socket's event. Nothing of it was sent, so nothing can answer it.
      this.fail(id, brokerErrorFrom(error), { abandoned: false });
      return undefined;
    }
  }

  private armLimits(id: bigint, protocol: number, options: RequestOptions): () => void {
    const { signal, timeoutMs } = options;
    if (signal === undefined && !timeoutMs) return NOTHING_ARMED;
    const giveUp = (error: BrokerError): void => this.giveUp(id, error);
    const timer: Timer | undefined = timeoutMs
      ? Deadline.after(this.clock, timeoutMs).arm(() => giveUp(expired(protocol, timeoutMs)))
      : undefined;
    const deaf = signal && this.aborts.on(signal, () => giveUp(aborted(protocol, signal)));
    return () => {
      timer?.cancel();
      deaf?.();
    };
  }

  private giveUp(id: bigint, error: BrokerError): void {
    this.fail(id, error, { abandoned: !this.stream.withdraw(id) });
  }

  /** Ends the requests that are over the default limit; true while others with it wait. */
  private expireOverdue(): boolean {
    let limited = false;
    for (const [id, { protocol, period }] of this.pending.all()) {
      if (period === undefined) continue;
      if (this.limit.isOver(period)) this.giveUp(id, expiredByDefault(protocol));
      else limited = true;
    }
    return limited;
  }

  private receive(frame: Frame): void {
    if (frame.kind === FrameKind.EVENT) {
      this.deliver({ protocol: frame.payloadProtocol, payload: frame.payload });
      return;
    }
    const id = frame.requestId;
    const waiting = this.pending.get(id);
    if (waiting === undefined) {
      if (this.pending.isLateAnswer(id)) return;
      throw frameUnexpected("request_id", `request_id ${id}, which no request is waiting for`);
    }
    try {
      checkEnvelope(frame, { kind: FrameKind.RESPONSE, payloadProtocol: waiting.protocol });
    } catch (error) {
      this.fail(id, brokerErrorFrom(error), { abandoned: true });
      return;
    }
    this.pending.remove(id, { abandoned: false });
    waiting.disarm();
    waiting.resolve(frame.payload);
  }

  /** On its own stack: a listener that throws is its owner's fault and must not look like a broken stream. */
  private deliver(event: BackendEvent): void {
    const { onEvent } = this.options;
    if (onEvent !== undefined) queueMicrotask(() => onEvent(event));
  }

  private fail(id: bigint, error: BrokerError, options: { abandoned: boolean }): void {
    const waiting = this.pending.get(id);
    if (waiting === undefined) return;
    this.pending.remove(id, options);
    this.stream.forget(id);
    waiting.disarm();
    waiting.reject(error);
  }

  /** The connection is broken: by `fault`, or by its owner. */
  private end(fault: BrokerError | undefined): void {
    this.limit.close();
    const error = fault ?? afterTheEnd(undefined);
    for (const waiting of this.pending.takeAll()) {
      waiting.disarm();
      waiting.reject(error);
    }
    this.settleClosed(fault);
  }
}
