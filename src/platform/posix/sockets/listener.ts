/** Listening Unix sockets. */
import { constants } from "node:fs";
import { acquire } from "../../../base/disposal-stack.ts";
import { BrokerError } from "../../../base/errors.ts";
import { ioFailed } from "../../errno.ts";
import type { AcceptHandlers, Listener, Received, Transferable, Transport } from "../../ports/index.ts";
import { fdOf, lend } from "../descriptors.ts";
import { close, F_GETFL, F_SETFD, F_SETFL, FD_CLOEXEC, fcntl, lastErrno, listen, SOCK_STREAM } from "../libc.ts";
import type { CreateConnection } from "./connection.ts";
import { type ReadinessWatch, watchReadiness } from "./readiness.ts";
import { socketAddress } from "./socket-address.ts";
import type { PosixSystem } from "./system.ts";

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

export type Listeners = Pick<Transport, "adoptListener" | "listen">;

export function listenersOf(system: PosixSystem, createConnection: CreateConnection): Listeners {
  const means = { system, createConnection };
  return {
    listen: (path, options) => listenOn(means, path, options),
    adoptListener: (received) => adopt(means, received),
  };
}

interface ListenerMeans {
  readonly system: PosixSystem;
  readonly createConnection: CreateConnection;
}

/** @see Transport.listen */
function listenOn(
  means: ListenerMeans,
  path: string,
  { backlog = DEFAULT_BACKLOG, blocking = false }: { backlog?: number; blocking?: boolean } = {},
): Listener {
  const { system } = means;
  const address = socketAddress(system, path);
  const fd = system.newSocket(!blocking);
  if (fd < 0) throw ioFailed("socket", lastErrno());
  return acquire((held) => {
    held.defer(() => close(fd));
    system.privateBind(held, { fd, path, address });
    if (listen(fd, backlog) !== 0) throw ioFailed("listen", lastErrno(), path);
    return new UnixListener(means, fd);
  });
}

/** @see Transport.adoptListener */
function adopt(means: ListenerMeans, received: Received): Listener {
  const fd = fdOf(received);
  const { system } = means;
  const type = system.socketType(fd);
  if (type === undefined) throw new BrokerError("LISTENER_INVALID", `descriptor ${fd} is not a socket: ${lastErrno()}`);
  if (type !== SOCK_STREAM)
    throw new BrokerError(
      "LISTENER_INVALID",
      `descriptor ${fd} is a socket of type ${type}, expected a stream (${SOCK_STREAM})`,
    );
  if (!system.isListening(fd))
    throw new BrokerError("LISTENER_INVALID", `descriptor ${fd} is a socket that does not listen`);
  if (fcntl(fd, F_SETFD, FD_CLOEXEC) !== 0) throw ioFailed("fcntl", lastErrno());
  setNonBlocking(fd);
  return new UnixListener(means, fd);
}

/** For accept(2), which knows no MSG_DONTWAIT, and for whom it is given to. @throws BrokerError IO_FAILED */
export function setNonBlocking(fd: number): void {
  const flags = fcntl(fd, F_GETFL, 0);
  if (flags < 0 || (flags & constants.O_NONBLOCK) !== 0) return;
  if (fcntl(fd, F_SETFL, flags | constants.O_NONBLOCK) !== 0) throw ioFailed("fcntl", lastErrno());
}

class UnixListener implements Listener {
  private open = true;
  private watch: ReadinessWatch | undefined;
  /** Turns in which it is not tried whether a second one waits. */
  private lone = 0;
  /** Given up for a moment to take the connection that met the descriptor limit. */
  private reserve = -1;

  constructor(
    private readonly means: ListenerMeans,
    private readonly fd: number,
  ) {}

  get transferable(): Transferable {
    return lend(this.fd);
  }

  accept(handlers: AcceptHandlers): void {
    if (!this.open) throw new Error("accept on a closed listener");
    if (this.reserve < 0) this.reserve = this.spareDescriptor();
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
      const fd = this.means.system.acceptOne(this.fd);
      if (fd >= 0) {
        handlers.onConnection(this.means.createConnection(fd, BLOCKING), alone);
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
    handlers.onError({
      errno,
      resource,
      ...(rejected >= 0 && { rejected: this.means.createConnection(rejected, BLOCKING) }),
    });
  }

  private acceptThroughReserve(): number {
    if (this.reserve >= 0) close(this.reserve);
    const fd = this.means.system.acceptOne(this.fd);
    this.reserve = this.spareDescriptor();
    return fd;
  }

  private spareDescriptor(): number {
    return this.means.system.newSocket(false);
  }
}
