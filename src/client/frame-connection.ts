/**
 * The connection under a frame client: frames in, frames out, and how long the stream lasts.
 *
 *   unconfirmed   it was handed to the backend, of which nothing was heard yet (unconfirmed.ts)
 *   replacing     it was refused or lost before that; a connection of our own is being made, frames to send wait
 *   confirmed     the backend has it, or it is not to be replaced
 *   broken        over for good, by an error or (no error) by its owner
 *
 * unconfirmed -> replacing, confirmed, broken; replacing -> unconfirmed, confirmed, broken; confirmed -> broken.
 */
import type { Socket } from "node:net";
import { type BrokerError, reasonOf } from "../base/errors.ts";
import { brokerErrorFrom } from "../base/system-error.ts";
import { decodeFrame } from "../wire/envelope.ts";
import { createFrameDecoder } from "../wire/frame-decoder.ts";
import type { Frame } from "../wire/messages.ts";
import { closedByBackend } from "./frame-client-errors.ts";
import { createSendQueue } from "./send-queue.ts";
import { createUnconfirmed, type Unconfirmed, type UnconfirmedOptions } from "./unconfirmed.ts";

export type ConnectionState =
  | { readonly kind: "unconfirmed"; readonly socket: Socket; readonly handedOver: Unconfirmed }
  | { readonly kind: "replacing"; readonly handedOver: Unconfirmed }
  | { readonly kind: "confirmed"; readonly socket: Socket }
  | { readonly kind: "broken"; readonly error: BrokerError | undefined };

export interface ConnectionEvents {
  /** Called for each frame, in order. What it throws breaks the connection. */
  onFrame(frame: Frame): void;
  /** The backend may or may not have read this request, which cannot be sent again. */
  onMaybeCarriedOut(id: bigint): void;
  /** Called once, when the state is `broken`. */
  onBroken(error: BrokerError | undefined): void;
}

export class FrameConnection {
  private current: ConnectionState;
  private decoder = createFrameDecoder();
  private readonly queue = createSendQueue();
  private referenced = true;
  private socketClosed: Promise<void> = Promise.resolve();

  /** Takes over a connected socket that was not read from. With `unconfirmed` it was handed over. */
  constructor(
    socket: Socket,
    private readonly events: ConnectionEvents,
    unconfirmed: UnconfirmedOptions | undefined,
  ) {
    this.current = stateWith(socket, unconfirmed && createUnconfirmed(unconfirmed));
    this.attach(socket);
  }

  get state(): ConnectionState {
    return this.current;
  }

  /** Resolves when the latest socket is closed. */
  get closed(): Promise<void> {
    return this.socketClosed;
  }

  /** Sends what `encode` returns as soon as a socket takes it (send-queue.ts). */
  send(id: bigint, encode: () => Uint8Array | undefined): void {
    this.queue.push(id, encode);
  }

  /** Keeps a request that is being sent, while it may have to be sent again. */
  keep(id: bigint, bytes: Uint8Array, idempotent: boolean): void {
    if (this.current.kind === "unconfirmed") this.current.handedOver.keep(id, { bytes, idempotent });
  }

  /** The request with this id has failed: it is not sent again. */
  forget(id: bigint): void {
    if (this.current.kind === "unconfirmed" || this.current.kind === "replacing") this.current.handedOver.forget(id);
  }

  /** True when the request had not been handed to a socket; it never will be. */
  withdraw(id: bigint): boolean {
    return this.queue.withdraw(id);
  }

  /** Ends it for good. Does nothing when it is broken already. */
  break(error: BrokerError | undefined): void {
    if (this.current.kind === "broken") return;
    this.setState({ kind: "broken", error });
    this.queue.clear();
    this.events.onBroken(error);
  }

  unref(): void {
    this.referenced = false;
    socketOf(this.current)?.unref();
  }

  ref(): void {
    this.referenced = true;
    socketOf(this.current)?.ref();
  }

  /** The only place where the state changes: a socket that is no longer in it is ended, a new one is listened to. */
  private setState(next: ConnectionState): void {
    const before = socketOf(this.current);
    const after = socketOf(next);
    this.current = next;
    if (before === after) return;
    this.queue.detach();
    before?.destroy();
    if (after !== undefined) this.attach(after);
  }

  /** What a socket still has to say after it was replaced counts no more. */
  private attach(socket: Socket): void {
    if (!this.referenced) socket.unref();
    const isCurrent = (): boolean => socket === socketOf(this.current);
    this.socketClosed = new Promise((resolve) => {
      socket.once("close", () => {
        if (isCurrent()) this.lose(closedByBackend("the connection was closed"));
        resolve();
      });
    });
    socket.on("data", (chunk: Buffer) => {
      if (isCurrent()) this.receive(chunk);
    });
    socket.once("end", () => {
      if (isCurrent()) this.receiveEnd();
    });
    socket.on("error", (error: NodeJS.ErrnoException) => {
      if (isCurrent()) this.lose(closedByBackend(`the connection failed: ${error.code ?? error.message}`, error));
    });
    this.queue.attach(socket);
  }

  private receive(chunk: Buffer): void {
    try {
      this.decoder.push(chunk);
      for (let body = this.decoder.next(); body !== undefined; body = this.decoder.next()) {
        const frame = decodeFrame(body);
        if (this.current.kind === "unconfirmed") {
          const { socket, handedOver } = this.current;
          if (handedOver.judge(frame) === "refused") {
            this.replace(handedOver);
            return;
          }
          this.setState({ kind: "confirmed", socket });
        }
        this.events.onFrame(frame);
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

  /** The stream is over: the end of the session, or of a handed-over connection of which nothing was heard. */
  private lose(error: BrokerError): void {
    if (this.current.kind !== "unconfirmed") {
      this.break(error);
      return;
    }
    const { handedOver } = this.current;
    // Before a new connection is made, on which the others are sent again.
    for (const [id, { idempotent }] of [...handedOver.sent]) if (!idempotent) this.events.onMaybeCarriedOut(id);
    this.replace(handedOver);
  }

  /** Goes on with a connection of our own, on which what was sent is sent again. */
  private replace(handedOver: Unconfirmed): void {
    this.decoder = createFrameDecoder();
    this.setState({ kind: "replacing", handedOver });
    handedOver.reconnect().then(
      (socket) => this.resume(socket, handedOver),
      (error: unknown) => this.break(brokerErrorFrom(error)),
    );
  }

  private resume(socket: Socket, handedOver: Unconfirmed): void {
    if (this.current.kind === "broken") {
      socket.destroy();
      return;
    }
    const successor = handedOver.successor();
    for (const [id, request] of handedOver.sent) {
      successor?.keep(id, request);
      socket.write(request.bytes);
    }
    this.setState(stateWith(socket, successor));
  }
}

function stateWith(socket: Socket, handedOver: Unconfirmed | undefined): ConnectionState {
  return handedOver === undefined ? { kind: "confirmed", socket } : { kind: "unconfirmed", socket, handedOver };
}

function socketOf(state: ConnectionState): Socket | undefined {
  return state.kind === "unconfirmed" || state.kind === "confirmed" ? state.socket : undefined;
}
