/**
 * What a failed call on a stream socket says of the other end. A call that never came to the other end, or was refused for
 * another reason (EACCES, ELOOP, EPROTOTYPE, EAGAIN, EMFILE), says nothing of it.
 *
 * ENOTCONN is in no list: send(2) and recv(2) give it for a socket that was never connected, which is a fault of ours.
 * ECONNABORTED is what our own ports say when this side has closed the connection.
 */
import { hasCode } from "./errors.ts";
import { nodeErrno } from "./system-error.ts";

/** path_resolution(7): the path leads to no file. */
const NO_FILE: readonly string[] = ["ENOENT", "ENOTDIR"];
/**
 * There is a file, and no process listens on it. connect(2) on Linux says ECONNREFUSED, also of a file that is no socket.
 * Where a connection is made only by accept(2), the end of the listener resets it (POSIX, connect: ECONNRESET).
 */
const NO_LISTENER: readonly string[] = ["ECONNREFUSED", "ECONNRESET"];
/** unix(7), send(2): the peer has closed its end. ECONNRESET: bytes of ours were left unread, or a TCP peer has reset the connection. */
const PEER_GONE: readonly string[] = ["EPIPE", "ECONNRESET"];

/** Why no process serves at an address. */
export type Vacancy = "no-file" | "no-listener";

/** Of a failed connect, an IO_FAILED of ours or an error of Node's. Undefined when a process may serve there all the same. */
export function vacancyOf(error: unknown): Vacancy | undefined {
  const errno = errnoIn(error);
  if (isNoFile(errno)) return "no-file";
  return NO_LISTENER.includes(errno) ? "no-listener" : undefined;
}

/** Can nothing be bound to the path, as there is no file? @param errno symbolic name, as connect(2) gave it */
export function isNoFile(errno: string): boolean {
  return NO_FILE.includes(errno);
}

/** Of a failed read or write, an IO_FAILED of ours or an error of Node's: the peer has closed the connection or has ended. */
export function isPeerGone(error: unknown): boolean {
  return PEER_GONE.includes(errnoIn(error));
}

/** Of an exchange of frames that failed: did the peer close the connection before it was complete? */
export function closedByPeer(error: unknown): boolean {
  return hasCode(error, "FRAME_TRUNCATED") || isPeerGone(error);
}

function errnoIn(error: unknown): string {
  return (hasCode(error, "IO_FAILED") ? error.details.errno : nodeErrno(error)) ?? "";
}
