/** Unix sockets as a Transport. */
import { createServer, type Socket } from "node:net";
import type { Deadline } from "../../base/clock.ts";
import { sleep } from "../../base/clock.ts";
import { acquire } from "../../base/disposal-stack.ts";
import { BrokerError } from "../../base/errors.ts";
import { ioFailed } from "../errno.ts";
import { closeFd } from "../node/close-fd.ts";
import { fdOf, lend, receivedOf } from "../node/descriptors.ts";
import type { Connection, Listener, Received, TheirEnd, Transport } from "../ports/index.ts";
import { createBoundProbe } from "./bound-probe.ts";
import { createConnection } from "./connection.ts";
import {
  AF_UNIX,
  close,
  connect,
  F_SETFD,
  FD_CLOEXEC,
  fcntl,
  lastErrno,
  SO_TYPE,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  socket,
  socketOption,
  socketpair,
} from "./libc.ts";
import { adoptListener, listenOn, setNonBlocking } from "./listener.ts";
import { socketAddress } from "./socket-address.ts";

/** unix(7): connect on a full backlog gives EAGAIN at once and there is nothing to poll for, so it is tried again. */
const FULL_BACKLOG_RETRY_MS = 5;

export const unixTransport: Transport = {
  listen: listenOn,
  adoptListener,
  connect: connectTo,
  isBound: createBoundProbe(),
  pair,
  adoptConnection,
  discard: (received) => closeFd(fdOf(received)),
  serveSockets,
};

async function connectTo(path: string, deadline: Deadline): Promise<Connection> {
  const address = socketAddress(path);
  const fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) throw ioFailed("socket", lastErrno());
  while (connect(fd, address, address.length) !== 0) {
    const errno = lastErrno();
    if (errno === "EINTR") continue;
    if (errno !== "EAGAIN") {
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

function pair(options: { theirsBlocking?: boolean } = {}): { ours: Connection; theirs: TheirEnd } {
  const fds = Buffer.alloc(8);
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) !== 0) throw ioFailed("socketpair", lastErrno());
  const [ours, theirs] = [fds.readInt32LE(0), fds.readInt32LE(4)];
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

function adoptConnection(received: Received): Connection {
  const fd = fdOf(received);
  const type = socketOption(fd, SO_TYPE, 1)?.[0];
  if (type !== SOCK_STREAM || fcntl(fd, F_SETFD, FD_CLOEXEC) !== 0) {
    close(fd);
    throw new BrokerError("ENDPOINT_INVALID", `descriptor ${fd} is not a stream socket`);
  }
  return nonBlockingConnection(fd);
}

/** Consumes `fd`, also on failure. */
function nonBlockingConnection(fd: number): Connection {
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
