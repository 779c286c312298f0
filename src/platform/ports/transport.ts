/** Local stream sockets: listeners, connections, and what the kernel says of a peer. */
import type { Socket } from "node:net";
import type { Deadline } from "../../base/clock.ts";
import type { MaybePromise } from "../../base/maybe-promise.ts";
import type { Received, Transferable } from "./passing.ts";
import type { ProcessHandle } from "./processes.ts";
import type { Owned } from "./user.ts";

/** Who is at the other end, from the kernel: the process and user that made the connection. */
export interface PeerCredentials extends Owned {
  /** 0 when the kernel cannot name it (another pid namespace). */
  readonly pid: number;
  /** What policies compare: the decimal effective uid, on Windows `windows-sid:` and hex. */
  readonly identity: string;
}

export interface Transport {
  /**
   * Binds and listens. No other user can connect at any moment, and no child inherits it unasked. Nothing may be at the
   * path; where endpoints are files, its directory must exist.
   *
   * `blocking`: for a process that is given it and waits in accept(2); `accept` is not for such a one. Default false.
   *
   * @throws BrokerError PATH_TOO_LONG, ENDPOINT_INVALID, IO_FAILED (`details.errno`, EADDRINUSE when something is there)
   */
  listen(path: string, options?: { backlog?: number; blocking?: boolean }): Listener;
  /**
   * Takes over a listener that another process gave us: no child inherits it unasked, and no operation on it blocks, whichever
   * process passed it. Consumes `received`, but only when it is one: a wrong number can belong to anything in this process.
   *
   * @throws BrokerError LISTENER_INVALID when it is not a listening stream socket, IO_FAILED
   */
  adoptListener(received: Received): Listener;
  /**
   * Connects. A listener whose backlog is full is waited for until the deadline.
   *
   * @throws BrokerError PATH_TOO_LONG, ENDPOINT_INVALID, DEADLINE_EXCEEDED, IO_FAILED (ENOENT, ECONNREFUSED, …)
   */
  connect(path: string, deadline: Deadline): Promise<Connection>;
  /**
   * Is a live socket bound to the file at `path`, of any type, listening or not? Asks the system without connecting: no
   * process notices. False only when the system says that there is none; want of descriptors or rights says nothing. Where
   * the system cannot be asked so, every file counts as bound.
   *
   * @throws BrokerError PATH_TOO_LONG, ENDPOINT_INVALID
   */
  isBound(path: string): boolean;
  /**
   * A connected pair: one end for us, the other for a child; the caller closes both.
   * `theirsBlocking`: default true.
   *
   * @throws BrokerError IO_FAILED
   */
  pair(options?: { theirsBlocking?: boolean }): { ours: Connection; theirs: TheirEnd };
  /**
   * Takes over a connection that another process gave us: no child inherits it unasked, and no operation on it blocks,
   * whichever process passed it. Consumes `received`, also on failure.
   *
   * @throws BrokerError ENDPOINT_INVALID when it is no stream socket
   */
  adoptConnection(received: Received): Connection;
  /** For what was received and is of no use. It is gone afterwards, whatever the system has to say about that. */
  discard(received: Received): void;
  /**
   * Serves a listener with ordinary sockets, for code that brings its own protocol. Consumes the listener.
   * `close` stops accepting and resolves once the listener is closed; sockets already handed out live on.
   */
  serveSockets(listener: Listener, onSocket: (socket: Socket) => void): { close(): Promise<void> };
}

/** The other end of a pair, until a process has it. */
export interface TheirEnd {
  readonly transferable: Transferable;
  /** Gives it away; nothing is left to close. */
  take(): Received;
  close(): void;
}

export interface Listener {
  readonly transferable: Transferable;
  /**
   * Starts to accept. Exactly one of the callbacks runs per event; neither may throw. `onConnection` consumes its
   * connection. `onError` gets accept failures; when descriptors ran out (`resource: true`) one waiting
   * connection is still accepted and given along, so that its peer can be told.
   */
  accept(handlers: AcceptHandlers): void;
  /**
   * For one that was adopted: from now on the system names this process to peers, instead of the process that listened before.
   * Undefined, or the errno for which it does not. Never throws.
   */
  nameUs(): string | undefined;
  /** Stops accepting without closing; waiting peers stay in the backlog. */
  pause(): void;
  /**
   * Gives it away as the number that Node's own servers take (`server.listen({ fd })`); the listener must not be used
   * afterwards.
   */
  takeFd(): number;
  /** Stops listening, unless another process has it, too. The socket file is left to the process that created it. */
  close(): void;
}

export interface AcceptHandlers {
  /** `alone`: of late they come one at a time, and no other is taken in in this turn. */
  onConnection(connection: Connection, alone: boolean): void;
  onError(error: AcceptError): void;
}

export interface AcceptError {
  readonly errno: string;
  /** The process or system is out of descriptors. */
  readonly resource: boolean;
  /** The connection that hit the limit, accepted all the same; to be answered and closed. */
  readonly rejected?: Connection;
}

export interface ReceivedMessage {
  /** Shorter than asked for only at the end of the stream. */
  readonly bytes: Buffer;
  readonly received: readonly Received[];
}

/** Nothing is noticed while paused; what came meanwhile is noticed after that. */
export interface ReadableWatch {
  pause(): void;
  resume(): void;
}

/**
 * A connected stream. One read and one write may run at a time each. What can be done at once is done in the call
 * itself, failures included.
 */
export interface Connection {
  readonly transferable: Transferable;
  readonly peer: PeerCredentials;
  /**
   * Reads exactly `length` bytes and not one more. Resolves with fewer only when the peer closed
   * before they came: then the result is what there was, possibly empty.
   *
   * @throws BrokerError DEADLINE_EXCEEDED, IO_FAILED (ECONNRESET, …)
   */
  readExactly(length: number, deadline: Deadline): MaybePromise<Buffer>;
  /** @throws BrokerError DEADLINE_EXCEEDED, IO_FAILED (EPIPE, ECONNRESET, …); some bytes may have been sent. */
  writeAll(bytes: Uint8Array, deadline: Deadline): MaybePromise<void>;
  /**
   * Sends `bytes` (at most 64 KiB) with a duplicate of `transferable` riding on the first of them: one
   * system call when there is room.
   *
   * @throws BrokerError DEADLINE_EXCEEDED (nothing was sent), IO_FAILED (EPIPE, ETOOMANYREFS, …: nothing was sent, but
   * with `details.check` `sent-in-part` the duplicate and some bytes were)
   */
  sendWithDescriptor(bytes: Uint8Array, transferable: Transferable, deadline: Deadline): MaybePromise<void>;
  /**
   * Like `readExactly`, and collects what rides on these bytes. It becomes the caller's; when this throws it is closed.
   */
  receiveExactly(length: number, deadline: Deadline): Promise<ReceivedMessage>;
  /**
   * Takes what is there at this moment, up to `maxBytes` (at most 64 KiB): empty at the end of the stream, undefined
   * when nothing is there.
   *
   * @throws BrokerError IO_FAILED
   */
  readNow(maxBytes: number): Buffer | undefined;
  /**
   * The same with what rides on these bytes, which becomes the caller's. Never goes past bytes on which something rides, so
   * that it belongs to the last message that was sent among these bytes.
   *
   * @throws as `readNow`
   */
  receiveNow(maxBytes: number): ReceivedMessage | undefined;
  /** Sends what there is room for at this moment: how many bytes. @throws BrokerError IO_FAILED */
  sendNow(bytes: Uint8Array): number;
  /**
   * Calls back whenever something can be taken with `readNow` or `receiveNow`, the end and a failure included, until
   * the connection is closed or released. For a connection that lives on messages: nothing else may wait to read from
   * it meanwhile. Keeps the process alive unless paused.
   */
  watchReadable(onReadable: () => void): ReadableWatch;
  /**
   * Up to `maxBytes`, at least one; empty when the peer closed.
   *
   * @throws as `readExactly`
   */
  readSome(maxBytes: number, deadline: Deadline): MaybePromise<Buffer>;
  /**
   * Sets whether the operations of a process that is given a duplicate wait, where all duplicates share that. Those of this
   * object never do, and once this was called with true they leave it alone. No effect on a closed connection.
   */
  setBlocking(blocking: boolean): void;
  /** Ends the stream for every process that holds a duplicate. */
  shutdown(): void;
  /** A handle on the peer process that cannot be fooled by pid reuse; undefined where there is none. */
  openPeer(): ProcessHandle | undefined;
  /** Consumes the connection, which lives on as the socket. */
  release(): Socket;
  /** Ends pending reads and writes with IO_FAILED (ECONNABORTED). */
  close(): void;
}
