/**
 * Frames on their way into a socket. A frame is encoded when the socket takes it and not before, so that requests that
 * wait for a slow peer cost no second copy and can be withdrawn without a trace on the wire. Without a socket they wait.
 */
import type { Socket } from "node:net";

export interface SendQueue {
  /** Sends what `encode` returns as soon as the socket takes it. `encode` must not throw. Undefined from it: nothing is sent. */
  push(id: bigint, encode: () => Uint8Array | undefined): void;
  /** True when the frame had not been handed to the socket; it never will be. */
  withdraw(id: bigint): boolean;
  /** Sends into `socket` from now on. */
  attach(socket: Socket): void;
  /** Sends nothing until the next `attach`. */
  detach(): void;
  clear(): void;
}

export function createSendQueue(): SendQueue {
  const waiting = new Map<bigint, () => Uint8Array | undefined>();
  let current: Socket | undefined;
  let full = false;
  const sendInto = (socket: Socket, encode: () => Uint8Array | undefined): void => {
    const bytes = encode();
    if (bytes !== undefined) full = !socket.write(bytes);
  };
  const flush = (): void => {
    for (const [id, encode] of waiting) {
      if (full || current === undefined) return;
      waiting.delete(id);
      sendInto(current, encode);
    }
  };
  return {
    push(id, encode) {
      if (current !== undefined && !full && waiting.size === 0) return sendInto(current, encode);
      waiting.set(id, encode);
      flush();
    },
    withdraw: (id) => waiting.delete(id),
    attach(socket) {
      current = socket;
      full = socket.writableNeedDrain;
      socket.on("drain", () => {
        if (socket !== current) return;
        full = false;
        flush();
      });
      flush();
    },
    detach() {
      current = undefined;
    },
    clear: () => waiting.clear(),
  };
}
