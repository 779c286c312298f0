/**
 * Two byte streams in opposite directions over one socket. The end of one direction is passed on and leaves the other
 * one open; the relay is over when both have ended.
 */
import type { Socket } from "node:net";
import type { Readable, Writable } from "node:stream";
import { BrokerError } from "../../base/errors.ts";

export interface RelayEnds {
  readonly input: Readable;
  readonly output: Writable;
  /** Ends `output` for its reader. */
  endOutput(): Promise<void>;
}

/**
 * Consumes `socket`.
 *
 * @throws BrokerError CONNECTION_CLOSED when the backend goes away while it is being written to, IO_FAILED when the
 * output cannot be written.
 */
export async function relay(socket: Socket, ends: RelayEnds): Promise<void> {
  // Before its end is seen: a socket that ends for reading would end for writing by itself otherwise.
  socket.allowHalfOpen = true;
  try {
    await Promise.all([toSocket(ends.input, socket), fromSocket(socket, ends)]);
  } finally {
    socket.destroy();
    ends.input.destroy();
  }
}

function toSocket(input: Readable, socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once("error", (cause) =>
      reject(new BrokerError("CONNECTION_CLOSED", `the connection to the backend broke: ${cause.message}`, { cause })),
    );
    input.once("error", (cause) =>
      reject(new BrokerError("IO_FAILED", `reading the input failed: ${cause.message}`, { cause })),
    );
    socket.once("finish", resolve);
    input.pipe(socket);
  });
}

function fromSocket(socket: Socket, { output, endOutput }: RelayEnds): Promise<void> {
  return new Promise((resolve, reject) => {
    output.once("error", (cause) =>
      reject(new BrokerError("IO_FAILED", `writing the output failed: ${cause.message}`, { cause })),
    );
    socket.once("end", () => endOutput().then(resolve, reject));
    socket.pipe(output, { end: false });
  });
}
