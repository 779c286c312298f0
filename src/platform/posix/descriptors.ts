/** What POSIX systems give from one process to another: descriptors, as numbers. No other file knows that they are. */
import type { Received, Transferable } from "../ports/index.ts";

export function lend(fd: number): Transferable {
  return fd as unknown as Transferable;
}

/** Takes over `fd`. */
export function receivedOf(fd: number): Received {
  return fd as unknown as Received;
}

/** On POSIX systems every such value is made by one of the two above. */
export function fdOf(value: Transferable | Received): number {
  return value as unknown as number;
}
