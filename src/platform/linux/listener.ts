/**
 * Listening Unix sockets. The file's mode is never wider than 0600, because bind(2) takes it from the socket's own inode,
 * which fchmod(2) has set before, and from the umask (net/unix/af_unix.c, unix_bind_bsd); what the umask took is given
 * back before the first client can connect.
 */
import { chmodSync, lstatSync, unlinkSync } from "node:fs";
import { acquire } from "../../base/disposal-stack.ts";
import { BrokerError } from "../../base/errors.ts";
import { attempt, ioFailed } from "../errno.ts";
import { fdOf, lend } from "../node/descriptors.ts";
import type { AcceptHandlers, Listener, Received, Transferable } from "../ports/index.ts";
import { createConnection } from "./connection.ts";
import {
  AF_UNIX,
  accept4,
  bind,
  close,
  F_GETFL,
  F_SETFD,
  F_SETFL,
  FD_CLOEXEC,
  fchmod,
  fcntl,
  lastErrno,
  listen,
  SO_ACCEPTCONN,
  SO_TYPE,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  socket,
  socketOption,
} from "./libc.ts";
import { type ReadinessWatch, watchReadiness } from "./readiness.ts";
import { socketAddress } from "./socket-address.ts";

/** The kernel cuts it to net.core.somaxconn. */
const DEFAULT_BACKLOG = 4096;
/** Connections taken in one turn of the event loop; the rest waits for the next, so that established ones get served. */
const ACCEPT_BATCH = 64;
/**
 * An accept that finds nobody costs as much as one that does. As long as peers come one at a time, only every so often it is
 * tried whether there is a second one; the kernel tells of it in the next turn anyway.
 */
const LOOK_EVERY = 16;

/** Connections need no flag of their own, and one that is handed over has none to be cleared (connection.ts). */
const BLOCKING = { nonBlocking: false } as const;

const SOCKET_MODE = 0o600;

/** @see Transport.listen */
export function listenOn(
  path: string,
  { backlog = DEFAULT_BACKLOG, blocking = false }: { backlog?: number; blocking?: boolean } = {},
): Listener {
  const address = socketAddress(path);
  const fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | (blocking ? 0 : SOCK_NONBLOCK), 0);
  if (fd < 0) throw ioFailed("socket", lastErrno());
  return acquire((held) => {
    held.defer(() => close(fd));
    if (fchmod(fd, SOCKET_MODE) !== 0) throw ioFailed("fchmod", lastErrno(), path);
    if (bind(fd, address, address.length) !== 0) throw ioFailed("bind", lastErrno(), path);
    held.defer(() => unlinkSync(path));
    attempt(path, () => giveMode(path));
    if (listen(fd, backlog) !== 0) throw ioFailed("listen", lastErrno(), path);
    return new UnixListener(fd);
  });
}

/** @see Transport.adoptListener */
export function adoptListener(received: Received): Listener {
  const fd = fdOf(received);
  const type = socketOption(fd, SO_TYPE, 1)?.[0];
  if (type === undefined) throw new BrokerError("LISTENER_INVALID", `descriptor ${fd} is not a socket: ${lastErrno()}`);
  if (type !== SOCK_STREAM)
    throw new BrokerError(
      "LISTENER_INVALID",
      `descriptor ${fd} is a socket of type ${type}, expected a stream (${SOCK_STREAM})`,
    );
  if (socketOption(fd, SO_ACCEPTCONN, 1)?.[0] !== 1)
    throw new BrokerError("LISTENER_INVALID", `descriptor ${fd} is a socket that does not listen`);
  if (fcntl(fd, F_SETFD, FD_CLOEXEC) !== 0) throw ioFailed("fcntl", lastErrno());
  setNonBlocking(fd);
  return new UnixListener(fd);
}

/** For accept(2), which knows no MSG_DONTWAIT, and for whom it is given to. @throws BrokerError IO_FAILED */
export function setNonBlocking(fd: number): void {
  const flags = fcntl(fd, F_GETFL, 0);
  if (flags < 0 || (flags & SOCK_NONBLOCK) !== 0) return;
  if (fcntl(fd, F_SETFL, flags | SOCK_NONBLOCK) !== 0) throw ioFailed("fcntl", lastErrno());
}

function giveMode(path: string): void {
  const facts = lstatSync(path, { throwIfNoEntry: false });
  if (facts?.isSocket() && (facts.mode & 0o777) !== SOCKET_MODE) chmodSync(path, SOCKET_MODE);
}

class UnixListener implements Listener {
  private open = true;
  private watch: ReadinessWatch | undefined;
  /** Turns in which it is not tried whether a second one waits. */
  private lone = 0;
  /** Given up for a moment to take the connection that met the descriptor limit. */
  private reserve = -1;

  constructor(private readonly fd: number) {}

  get transferable(): Transferable {
    return lend(this.fd);
  }

  accept(handlers: AcceptHandlers): void {
    if (!this.open) throw new Error("accept on a closed listener");
    if (this.reserve < 0) this.reserve = spareDescriptor();
    this.watch ??= watchReadiness(this.fd, "readable", () => this.acceptBatch(handlers));
  }

  pause(): void {
    this.watch?.stop();
    this.watch = undefined;
  }

  nameUs(): string | undefined {
    // net/unix/af_unix.c, unix_listen: also for a socket that listens already it notes down who calls.
    return listen(this.fd, DEFAULT_BACKLOG) === 0 ? undefined : lastErrno();
  }

  takeFd(): number {
    if (!this.open) throw new Error("takeFd on a closed listener");
    this.letGo();
    return this.fd;
  }

  close(): void {
    if (!this.open) return;
    this.letGo();
    close(this.fd);
  }

  private letGo(): void {
    this.pause();
    this.open = false;
    if (this.reserve >= 0) close(this.reserve);
    this.reserve = -1;
  }

  private acceptBatch(handlers: AcceptHandlers): void {
    const alone = this.lone > 0;
    const most = alone ? 1 : ACCEPT_BATCH;
    if (alone) this.lone--;
    for (let taken = 0; taken < most && this.watch !== undefined; taken++) {
      const fd = accept4(this.fd, null, null, SOCK_CLOEXEC);
      if (fd >= 0) {
        handlers.onConnection(createConnection(fd, BLOCKING), alone);
        continue;
      }
      const errno = lastErrno();
      if (errno === "EAGAIN") {
        if (taken <= 1) this.lone = LOOK_EVERY;
        return;
      }
      // accept(2): the peer was gone before it was taken.
      if (errno === "ECONNABORTED" || errno === "EINTR") continue;
      return this.reportError(errno, handlers);
    }
  }

  private reportError(errno: string, handlers: AcceptHandlers): void {
    const resource = errno === "EMFILE" || errno === "ENFILE";
    const rejected = resource ? this.acceptThroughReserve() : -1;
    handlers.onError({ errno, resource, ...(rejected >= 0 && { rejected: createConnection(rejected, BLOCKING) }) });
  }

  private acceptThroughReserve(): number {
    if (this.reserve >= 0) close(this.reserve);
    const fd = accept4(this.fd, null, null, SOCK_CLOEXEC);
    this.reserve = spareDescriptor();
    return fd;
  }
}

function spareDescriptor(): number {
  return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}
