/** Unix sockets as a Transport. */
import { createServer, type Socket } from "node:net";
import type { Deadline } from "../../../base/clock.ts";
import { sleep } from "../../../base/clock.ts";
import { acquire } from "../../../base/disposal-stack.ts";
import { BrokerError } from "../../../base/errors.ts";
import { ioFailed } from "../../errno.ts";
import { closeFd } from "../../node/close-fd.ts";
import type { Connection, Listener, Received, TheirEnd, Transport } from "../../ports/index.ts";
import { fdOf, lend, receivedOf } from "../descriptors.ts";
import { close, connect, F_SETFD, FD_CLOEXEC, fcntl, lastErrno, SOCK_STREAM } from "../libc.ts";
import type { CreateConnection } from "./connection.ts";
import { type Listeners, setNonBlocking } from "./listener.ts";
import { socketAddress } from "./socket-address.ts";
import type { PosixSystem } from "./system.ts";

/** connect(2) on a full backlog fails at once and there may be nothing to poll for, so it is tried again. */
const FULL_BACKLOG_RETRY_MS = 5;

export interface TransportParts {
  readonly system: PosixSystem;
  readonly createConnection: CreateConnection;
  readonly listeners: Listeners;
  /** @see Transport.isBound */
  readonly isBound: (path: string) => boolean;
}

export function createUnixTransport(parts: TransportParts): Transport {
  return {
    ...parts.listeners,
    connect: (path, deadline) => connectTo(parts, path, deadline),
    isBound: parts.isBound,
    pair: (options) => pair(parts, options),
    adoptConnection: (received) => adoptConnection(parts, received),
    discard: (received) => closeFd(fdOf(received)),
    serveSockets,
  };
}

async function connectTo(
  { system, createConnection }: TransportParts,
  path: string,
  deadline: Deadline,
): Promise<Connection> {
  const address = socketAddress(system, path);
  const fd = system.newSocket(true);
  if (fd < 0) throw ioFailed("socket", lastErrno());
  while (connect(fd, address, address.length) !== 0) {
    const errno = lastErrno();
    if (errno === "EINTR") continue;
    if (!system.isBacklogFull(errno)) {
      close(fd);
      throw ioFailed("connect", errno, path);
    }
    if (deadline.passed()) {
      close(fd);
      throw new BrokerError(
        "DEADLINE_EXCEEDED",
        `the deadline passed while connecting to ${path}, whose backlog is full`,
        { details: { path } },
      );
    }
    await sleep(deadline.clock, Math.min(FULL_BACKLOG_RETRY_MS, deadline.remainingMs()));
  }
  return createConnection(fd);
}

function pair(
  { system, createConnection }: TransportParts,
  options: { theirsBlocking?: boolean } = {},
): { ours: Connection; theirs: TheirEnd } {
  const [ours, theirs] = system.newPair();
  return acquire((held) => {
    held.defer(() => close(ours));
    held.defer(() => close(theirs));
    if (options.theirsBlocking === false) setNonBlocking(theirs);
    return { ours: createConnection(ours, { nonBlocking: false }), theirs: theirEnd(theirs) };
  });
}

/** Consumes `fd`. */
function theirEnd(fd: number): TheirEnd {
  let open = true;
  return {
    transferable: lend(fd),
    take() {
      if (!open) throw new Error("take on a closed end");
      open = false;
      return receivedOf(fd);
    },
    close() {
      if (open) closeFd(fd);
      open = false;
    },
  };
}

function adoptConnection({ system, createConnection }: TransportParts, received: Received): Connection {
  const fd = fdOf(received);
  if (system.socketType(fd) !== SOCK_STREAM || fcntl(fd, F_SETFD, FD_CLOEXEC) !== 0) {
    close(fd);
    throw new BrokerError("ENDPOINT_INVALID", `descriptor ${fd} is not a stream socket`);
  }
  return acquire((held) => {
    held.defer(() => close(fd));
    setNonBlocking(fd);
    return createConnection(fd);
  });
}

function serveSockets(listener: Listener, onSocket: (socket: Socket) => void): { close(): Promise<void> } {
  const server = createServer({ allowHalfOpen: true }, onSocket);
  server.listen({ fd: listener.takeFd() });
  // The server stops accepting at once; its "close" event would wait for every socket it handed out.
  return {
    close: async () => {
      server.close();
    },
  };
}
