/** What the ready-made server needs of a client's connection, however it came here. */
import type { Socket } from "node:net";

export interface WireListener {
  onData(chunk: Buffer): void;
  /** The client will send nothing more. */
  onEnd(): void;
  /** Once, after which nothing else comes. */
  onClose(): void;
}

export interface ClientWire {
  /** To be called once, and before anything else. */
  listen(listener: WireListener): void;
  pause(): void;
  resume(): void;
  /** `done` when the bytes have left, or never will. */
  write(bytes: Buffer, done: (error?: Error | null) => void): void;
  /** Sends what is left to send and closes. */
  end(): void;
  destroy(): void;
  /** For somebody else to read from and write to: the listener hears of nothing any more but the close. */
  handOut(): Socket;
}

/** Takes over a socket nobody has read from. */
export function createSocketWire(socket: Socket): ClientWire {
  return new SocketWire(socket);
}

class SocketWire implements ClientWire {
  private mute: () => void = () => {};

  constructor(private readonly socket: Socket) {}

  listen({ onData, onEnd, onClose }: WireListener): void {
    const { socket } = this;
    const receive = (chunk: Buffer): void => onData(chunk);
    const receiveEnd = (): void => onEnd();
    this.mute = () => void socket.off("data", receive).off("end", receiveEnd);
    socket.once("close", () => onClose());
    // A peer that vanishes is no fault of anybody here; "close" follows. Stays when the socket changes hands.
    socket.on("error", () => {});
    socket.on("end", receiveEnd);
    socket.on("data", receive);
  }

  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  write(bytes: Buffer, done: (error?: Error | null) => void): void {
    this.socket.write(bytes, done);
  }

  end(): void {
    this.socket.destroySoon();
  }

  destroy(): void {
    this.socket.destroy();
  }

  handOut(): Socket {
    this.mute();
    return this.socket;
  }
}
