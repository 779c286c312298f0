/**
 * Requests and responses on one connection to a backend. Any number of requests may be in flight; a response finds its
 * request by id, in whatever order the backend answers.
 *
 * Two kinds of failure are kept apart. What concerns one request (its time was up, its answer has the wrong protocol)
 * ends that request only: frames are matched by id, so the stream stays in step. What makes the stream itself doubtful
 * (a broken frame, an id nobody asked for, the end of it) ends the connection and every request on it.
 *
 * States: open, then broken for good, with the error that did it (or none, when `close` did). A handed-over connection
 * of which nothing was heard yet (unconfirmed.ts) can be replaced, while open.
 */

import type { Socket } from "node:net";
import { type Clock, Deadline, type Timer } from "../base/clock.ts";
import { BrokerError, reasonOf } from "../base/errors.ts";
import { brokerErrorFrom } from "../base/system-error.ts";
import { checkEnvelope, decodeFrame, encodeRequest, frameUnexpected } from "../wire/envelope.ts";
import { createFrameDecoder } from "../wire/frame-decoder.ts";
import { type Frame, FrameKind } from "../wire/messages.ts";
import { createAbortFanout } from "./abort-fanout.ts";
import {
  aborted,
  afterTheEnd,
  closedByBackend,
  expired,
  expiredByDefault,
  maybeCarriedOut,
} from "./frame-client-errors.ts";
import { createPendingRequests, type PendingRequests } from "./pending-requests.ts";
import { createRequestLimit, type RequestLimit } from "./request-limit.ts";
import { checkRequestOptions, type RequestOptions } from "./request-options.ts";
import { createSendQueue, type SendQueue } from "./send-queue.ts";
import { createUnconfirmed, type Unconfirmed, type UnconfirmedOptions } from "./unconfirmed.ts";

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
  private decoder = createFrameDecoder();
  private readonly aborts = createAbortFanout();
  private readonly pending: PendingRequests<Waiting>;
  private readonly queue: SendQueue;
  private readonly limit: RequestLimit;
  private socketClosed: Promise<void> = Promise.resolve();
  private unconfirmed: Unconfirmed | undefined;
  private referenced = true;
  private firstRequestSent: boolean;
  /** Undefined while a lost connection is being replaced. */
  private socket: Socket | undefined;
  private state: "open" | { readonly brokenBy: BrokerError | undefined } = "open";
  private settleClosed: (fault: BrokerError | undefined) => void = () => {};

  constructor(
    socket: Socket,
    private readonly clock: Clock,
    private readonly options: InternalOptions,
  ) {
    this.pending = createPendingRequests(
      options.firstRequestId === undefined ? {} : { firstId: options.firstRequestId },
    );
    this.queue = createSendQueue();
    this.limit = createRequestLimit(clock, () => this.expireOverdue());
    this.firstRequestSent = options.firstRequestSent ?? false;
    this.unconfirmed = options.unconfirmed && createUnconfirmed(options.unconfirmed);
    this.closed = new Promise((resolve) => {
      this.settleClosed = resolve;
    });
    this.attach(socket);
  }

  /** Speaks on `socket` from now on. What an earlier one still has to say counts no more. */
  private attach(socket: Socket): void {
    this.socket = socket;
    if (!this.referenced) socket.unref();
    const current = (): boolean => socket === this.socket;
    this.socketClosed = new Promise((resolve) => {
      socket.once("close", () => {
        if (current()) this.lose(closedByBackend("the connection was closed"));
        resolve();
      });
    });
    socket.on("data", (chunk: Buffer) => {
      if (current()) this.receive(chunk);
    });
    socket.once("end", () => {
      if (current()) this.receiveEnd();
    });
    socket.on("error", (error: NodeJS.ErrnoException) => {
      if (current()) this.lose(closedByBackend(`the connection failed: ${error.code ?? error.message}`, error));
    });
    this.queue.attach(socket);
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
      this.queue.push(id, () => this.encode(id, protocol, payload, options));
    });
  }

  private checkRequest(protocol: number, payload: Uint8Array, options: RequestOptions): void {
    checkRequestOptions(protocol, payload, options);
    if (options.signal?.aborted) {
      if (this.firstRequestSent) this.disownFirst(protocol);
      throw aborted(protocol, options.signal);
    }
    if (this.state !== "open") throw afterTheEnd(this.state.brokenBy);
  }

  async close(): Promise<void> {
    if (this.state === "open") {
      this.state = { brokenBy: undefined };
      this.failAll(new BrokerError("CONNECTION_CLOSED", "the session was closed by its owner"));
      this.socket?.destroy();
      this.settleClosed(undefined);
    }
    await this.socketClosed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  unref(): void {
    this.referenced = false;
    this.socket?.unref();
  }

  ref(): void {
    this.referenced = true;
    this.socket?.ref();
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
      this.unconfirmed?.keep(id, { bytes, idempotent: options.idempotent ?? false });
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
    this.fail(id, error, { abandoned: !this.queue.withdraw(id) });
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

  private receive(chunk: Buffer): void {
    if (this.state !== "open") return;
    try {
      this.decoder.push(chunk);
      for (let body = this.decoder.next(); body !== undefined; body = this.decoder.next()) {
        const frame = decodeFrame(body);
        if (this.unconfirmed?.judge(frame) === "refused") {
          this.replace(this.unconfirmed, "refused");
          return;
        }
        this.unconfirmed = undefined;
        this.handle(frame);
      }
    } catch (error) {
      this.break(brokerErrorFrom(error));
    }
  }

  private receiveEnd(): void {
    try {
      this.decoder.end();
      this.lose(closedByBackend("the backend closed the connection"));
    } catch (error) {
      this.lose(closedByBackend(`the backend closed the connection inside a frame: ${reasonOf(error)}`, error));
    }
  }

  private handle(frame: Frame): void {
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
    this.unconfirmed?.forget(id);
    waiting.disarm();
    waiting.reject(error);
  }

  /** The stream is over: the end of the session, or of a handed-over connection of which nothing was heard. */
  private lose(fault: BrokerError): void {
    if (this.state === "open" && this.unconfirmed !== undefined) this.replace(this.unconfirmed, "lost");
    else this.break(fault);
  }

  /** Goes on with a connection of our own. */
  private replace(handedOver: Unconfirmed, why: "refused" | "lost"): void {
    this.unconfirmed = undefined;
    const old = this.socket;
    this.socket = undefined;
    this.queue.detach();
    this.decoder = createFrameDecoder();
    if (why === "lost") {
      for (const [id, { idempotent }] of handedOver.sent)
        if (!idempotent) this.fail(id, maybeCarriedOut(), { abandoned: false });
    }
    handedOver.reconnect().then(
      (socket) => {
        if (this.state !== "open") {
          socket.destroy();
          return;
        }
        this.unconfirmed = handedOver.successor();
        for (const [id, request] of handedOver.sent) {
          if (this.pending.get(id) === undefined) continue;
          this.unconfirmed?.keep(id, request);
          socket.write(request.bytes);
        }
        this.attach(socket);
      },
      (error: unknown) => this.break(brokerErrorFrom(error)),
    );
    old?.destroy();
  }

  private break(fault: BrokerError): void {
    if (this.state !== "open") return;
    this.state = { brokenBy: fault };
    this.socket?.destroy();
    this.failAll(fault);
    this.settleClosed(fault);
  }

  private failAll(error: BrokerError): void {
    this.limit.close();
    this.queue.clear();
    for (const waiting of this.pending.takeAll()) {
      waiting.disarm();
      waiting.reject(error);
    }
  }
}
