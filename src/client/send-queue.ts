/**
 * Frames on their way into a socket. A frame is encoded when the socket takes it and not before, so that requests that
 * wait for a slow peer cost no second copy and can be withdrawn without a trace on the wire.
 */
import type { Socket } from "node:net";

export interface SendQueue {
  /** Sends what `encode` returns as soon as the socket takes it. `encode` must not throw. Undefined from it: nothing is sent. */
  push(id: bigint, encode: () => Uint8Array | undefined): void;
  /** True when the frame had not been handed to the socket; it never will be. */
  withdraw(id: bigint): boolean;
  clear(): void;
}

export function createSendQueue(socket: Socket): SendQueue {
  const waiting = new Map<bigint, () => Uint8Array | undefined>();
  let full = socket.writableNeedDrain;
  const flush = (): void => {
    for (const [id, encode] of waiting) {
      if (full) return;
      waiting.delete(id);
      const bytes = encode();
      if (bytes !== undefined) full = !socket.write(bytes);
    }
  };
  socket.on("drain", () => {
    full = false;
    flush();
  });
  return {
    push(id, encode) {
      waiting.set(id, encode);
      flush();
    },
    withdraw: (id) => waiting.delete(id),
    clear: () => waiting.clear(),
  };
}
