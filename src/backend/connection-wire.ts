/**
 * A client on a connection that a broker handed over. It is served on the bare descriptor: for the short exchanges that
 * handoffs are for, making a socket with its streams costs more than everything else together.
 *
 * A broker in direct mode leaves its reply to the Hello to us. It goes out in front of the first answer and in one piece
 * with it, because the request is usually there already; when there is no answer within a millisecond it goes by itself.
 *
 * States: open; ending (nothing is read any more, what is written still goes out); closed or handed out (for good).
 */
import type { Socket } from "node:net";
import { type Clock, Deadline, type Timer } from "../base/clock.ts";
import { isBrokerError } from "../base/errors.ts";
import type { Connection, ReadableWatch } from "../platform/ports/index.ts";
import type { ClientWire, WireListener } from "./client-wire.ts";

const READ_BYTES = 64 * 1024;
/** For the first answer to come along with. */
const REPLY_MS = 1;

/** Consumes the connection, of which nobody has read. `reply`: to be written before anything else. */
export function createConnectionWire(connection: Connection, clock: Clock, reply: Uint8Array): ClientWire {
  return new ConnectionWire(connection, clock, reply);
}

class ConnectionWire implements ClientWire {
  private state: "open" | "ending" | "over" = "open";
  private listener: WireListener | undefined;
  private watch: ReadableWatch | undefined;
  private paused = false;
  private reply: { readonly bytes: Uint8Array; readonly timer: Timer } | undefined;
  /** The last write, while one waits for room. */
  private writing: Promise<void> | undefined;

  constructor(
    private readonly connection: Connection,
    private readonly clock: Clock,
    reply: Uint8Array,
  ) {
    if (reply.length > 0) this.reply = { bytes: reply, timer: clock.schedule(REPLY_MS, () => this.sendReply()) };
  }

  listen(listener: WireListener): void {
    this.listener = listener;
    const received = this.receive();
    // A client that has sent nothing is waiting for the reply.
    if (!received) this.sendReply();
    // Setting up a watch takes its time, and the first answer goes first.
    if (this.reply === undefined) this.watchOn();
  }

  pause(): void {
    this.paused = true;
    this.watch?.pause();
  }

  resume(): void {
    if (!this.paused || this.state !== "open") return;
    this.paused = false;
    if (this.watch !== undefined) this.watch.resume();
    else if (this.reply === undefined) this.watchOn();
  }

  write(bytes: Buffer, done: (error?: Error | null) => void): void {
    if (this.state === "over") return done();
    const first = this.reply !== undefined;
    const whole = this.withReply(bytes);
    const sent = this.writing === undefined ? this.transmit(whole) : this.writing.then(() => this.transmit(whole));
    if (sent instanceof Promise) {
      const turn = sent.then((error) => {
        if (this.writing === turn) this.writing = undefined;
        done(error);
      });
      this.writing = turn;
    } else done(sent);
    if (first) this.watchOn();
  }

  end(): void {
    if (this.state !== "open") return;
    this.state = "ending";
    this.watch?.pause();
    this.sendReply();
    if (this.writing === undefined) this.destroy();
    else void this.writing.then(() => this.destroy());
  }

  destroy(): void {
    if (this.state === "over") return;
    this.leave();
    this.connection.close();
    // Like a socket's: whoever called is not called back before it is done.
    queueMicrotask(() => this.listener?.onClose());
  }

  handOut(): Socket {
    this.sendReply();
    this.leave();
    const socket = this.connection.release();
    socket.once("close", () => this.listener?.onClose());
    // A peer that vanishes is no fault of anybody here; "close" follows.
    socket.on("error", () => {});
    return socket;
  }

  private watchOn(): void {
    if (this.state !== "open" || this.paused || this.watch !== undefined || this.listener === undefined) return;
    this.watch = this.connection.watchReadable(() => this.receive());
  }

  private leave(): void {
    this.state = "over";
    this.reply?.timer.cancel();
    this.reply = undefined;
  }

  /** What is there, once: the watch comes back for the rest, and others get their turn in between. False when there is nothing. */
  private receive(): boolean {
    if (this.state !== "open" || this.paused) return false;
    let chunk: Buffer | undefined;
    try {
      chunk = this.connection.readNow(READ_BYTES);
    } catch (error) {
      if (!isBrokerError(error)) throw error;
      // A peer that vanishes is no fault of anybody here.
      this.destroy();
      return false;
    }
    if (chunk === undefined) return false;
    if (chunk.length > 0) this.listener?.onData(chunk);
    else {
      // Level-triggered, and there is nothing to come.
      this.pause();
      this.listener?.onEnd();
    }
    return true;
  }

  private withReply(bytes: Buffer): Buffer {
    if (this.reply === undefined) return bytes;
    const { bytes: reply, timer } = this.reply;
    timer.cancel();
    this.reply = undefined;
    return bytes.length === 0 ? Buffer.from(reply) : Buffer.concat([reply, bytes]);
  }

  private sendReply(): void {
    if (this.reply !== undefined) this.write(Buffer.alloc(0), () => {});
  }

  /** Nothing, or why it failed. Never rejects. */
  private transmit(bytes: Buffer): undefined | Error | Promise<undefined | Error> {
    try {
      const sent = this.connection.writeAll(bytes, Deadline.never(this.clock));
      return sent?.then(
        () => undefined,
        (error: Error) => error,
      );
    } catch (error) {
      return error as Error;
    }
  }
}
