/**
 * A connection that a broker handed over. Its first request is usually there already and answered at once, so it is read
 * and answered straight on the descriptor; a socket with its streams is made after that. For short exchanges it is the
 * socket that costs most.
 *
 * States: early, then a socket for good. It turns into one with the first answer, after a millisecond, or when anything
 * is asked of it that needs one: from then on the event loop reports what comes and what has ended.
 */
import type { Socket } from "node:net";
import type { Clock, Timer } from "../base/clock.ts";
import type { Connection } from "../platform/ports.ts";
import { type ClientWire, createSocketWire, type WireListener } from "./client-wire.ts";

const FIRST_READ_BYTES = 64 * 1024;
/** For the first answer. */
const EARLY_MS = 1;

/** Consumes the connection, of which nobody has read. */
export function createHandedOverWire(connection: Connection, clock: Clock): ClientWire {
  return new HandedOverWire(connection, clock);
}

class HandedOverWire implements ClientWire {
  private state: { readonly early: Connection; readonly timer: Timer } | ClientWire;
  private listener: WireListener | undefined;
  private paused = false;

  constructor(connection: Connection, clock: Clock) {
    this.state = { early: connection, timer: clock.schedule(EARLY_MS, () => void this.settled()) };
  }

  listen(listener: WireListener): void {
    this.listener = listener;
    if (!("early" in this.state)) return;
    const head = this.state.early.takeAvailable(FIRST_READ_BYTES);
    if (head.length > 0) listener.onData(head);
    else this.settled();
  }

  pause(): void {
    this.paused = true;
    if (!("early" in this.state)) this.state.pause();
  }

  resume(): void {
    this.paused = false;
    if (!("early" in this.state)) this.state.resume();
  }

  write(bytes: Buffer, done: (error?: Error | null) => void): void {
    if (!("early" in this.state)) return this.state.write(bytes, done);
    const sent = this.state.early.sendAvailable(bytes);
    const wire = this.settled();
    if (sent < bytes.length) wire.write(bytes.subarray(sent), done);
    else done();
  }

  end(): void {
    this.settled().end();
  }

  destroy(): void {
    this.settled().destroy();
  }

  handOut(): Socket {
    return this.settled().handOut();
  }

  private settled(): ClientWire {
    if (!("early" in this.state)) return this.state;
    const { early, timer } = this.state;
    timer.cancel();
    const wire = createSocketWire(early.release());
    this.state = wire;
    if (this.listener !== undefined) wire.listen(this.listener);
    if (this.paused) wire.pause();
    return wire;
  }
}
