/**
 * A connected Unix stream as a raw descriptor. Reads are tried at once and wait for readiness only when nothing is there:
 * after accept the first frame usually is. Nothing is read ahead, because what follows a frame may belong to the process
 * that is handed the connection.
 *
 * No call here blocks, whatever the descriptor's O_NONBLOCK: every transfer says so by its own flags (`TransferFlags`).
 * O_NONBLOCK belongs to the open file description, so a process that is given a duplicate decides about it (`setBlocking`).
 *
 * States: open (at most one pending read and one pending write, each with its own watch and timer, or a standing watch
 * instead of pending reads), closed or released (none). `dispose` is the only way out of open.
 */
import { constants } from "node:fs";
import { Socket } from "node:net";
import type { Deadline } from "../../../base/clock.ts";
import { BrokerError, reasonOf } from "../../../base/errors.ts";
import type { MaybePromise } from "../../../base/maybe-promise.ts";
import { ioFailed } from "../../errno.ts";
import type {
  Connection,
  PeerCredentials,
  ProcessHandle,
  ReadableWatch,
  Received,
  ReceivedMessage,
  Transferable,
} from "../../ports/index.ts";
import { fdOf, lend } from "../descriptors.ts";
import { close, F_SETFL, fcntl, lastErrno, recv, SHUT_RDWR, send, shutdown } from "../libc.ts";
import { createDescriptorPassing, type DescriptorPassing } from "./descriptor-passing.ts";
import { Pending, type Slot, timedOut } from "./pending.ts";
import { type ReadinessWatch, watchReadiness } from "./readiness.ts";
import type { PosixSystem } from "./system.ts";

/** Bodies are read in steps of this size, so that a peer's claim of 16 MiB costs memory only as the bytes come. */
const READ_STEP_BYTES = 256 * 1024;

const NON_BLOCKING = { nonBlocking: true } as const;

/** Consumes `fd`, which must be a connected stream socket. `nonBlocking`: is its O_NONBLOCK set? Default true. */
export type CreateConnection = (fd: number, options?: { readonly nonBlocking: boolean }) => Connection;

/** What all connections of a system share. */
interface ConnectionSystem extends PosixSystem {
  readonly passing: DescriptorPassing;
}

export function connectionsOf(system: PosixSystem): CreateConnection {
  const shared: ConnectionSystem = { ...system, passing: createDescriptorPassing(system) };
  return (fd, { nonBlocking } = NON_BLOCKING) => new UnixConnection(shared, fd, nonBlocking);
}

/**
 * For reads of unknown length: a large buffer made for each would be garbage that calls for collections out of all
 * proportion. Reading is synchronous, so one serves all.
 */
const scratch = Buffer.allocUnsafeSlow(64 * 1024);

/** A header: here a buffer for each costs less than a copy. */
const SMALL_READ_BYTES = 16;

class UnixConnection implements Connection {
  reading: Pending | undefined;
  writing: Pending | undefined;
  /** Set by `setBlocking`: a process that has a duplicate counts on O_NONBLOCK being off. */
  blocking = false;
  private open = true;
  private credentials: PeerCredentials | undefined;
  private standingWatch: ReadinessWatch | undefined;

  constructor(
    readonly system: ConnectionSystem,
    readonly fd: number,
    /** Is O_NONBLOCK set? libuv sets it when a watch on the descriptor begins. */
    private nonBlocking: boolean,
  ) {}

  get transferable(): Transferable {
    return lend(this.fd);
  }

  get peer(): PeerCredentials {
    this.credentials ??= this.system.peerOf(this.fd);
    return this.credentials;
  }

  readExactly(length: number, deadline: Deadline): MaybePromise<Buffer> {
    const buffer: Buffer = Buffer.allocUnsafe(Math.min(length, READ_STEP_BYTES));
    const got = length === 0 ? 0 : this.receive(buffer, buffer.length);
    if (got === length) return buffer;
    if (got === 0) return buffer.subarray(0, 0);
    return this.readOn(buffer, Math.max(0, got), length, deadline);
  }

  private async readOn(head: Buffer, headBytes: number, length: number, deadline: Deadline): Promise<Buffer> {
    let buffer = head;
    let filled = headBytes;
    while (filled < length) {
      if (filled === buffer.length) buffer = grow(buffer, Math.min(length, buffer.length * 2));
      const room = buffer.subarray(filled);
      const got = this.receive(room, room.length);
      if (got === 0) break;
      if (got > 0) filled += got;
      else await this.wait("reading", deadline);
    }
    return buffer.subarray(0, filled);
  }

  readSome(maxBytes: number, deadline: Deadline): MaybePromise<Buffer> {
    const got = this.readNow(maxBytes);
    if (got !== undefined) return got;
    return this.wait("reading", deadline).then(() => this.readSome(maxBytes, deadline));
  }

  writeAll(bytes: Uint8Array, deadline: Deadline): MaybePromise<void> {
    const took = bytes.length === 0 ? 0 : this.transmit(bytes);
    if (took < bytes.length) return this.writeOn(bytes.subarray(Math.max(0, took)), deadline);
  }

  private async writeOn(bytes: Uint8Array, deadline: Deadline): Promise<void> {
    for (let rest = bytes; rest.length > 0; ) {
      await this.wait("writing", deadline);
      rest = rest.subarray(Math.max(0, this.transmit(rest)));
    }
  }

  sendWithDescriptor(bytes: Uint8Array, transferable: Transferable, deadline: Deadline): MaybePromise<void> {
    const took = this.call("sendmsg", this.system.passing.send(this.openFd("sendmsg"), bytes, fdOf(transferable)));
    if (took < 0)
      return this.wait("writing", deadline).then(() => this.sendWithDescriptor(bytes, transferable, deadline));
    if (took < bytes.length) return this.sendRest(bytes.subarray(took), deadline);
  }

  /** The descriptor went with the first byte; whatever did not fit follows by itself. */
  private async sendRest(bytes: Uint8Array, deadline: Deadline): Promise<void> {
    try {
      await this.writeAll(bytes, deadline);
    } catch (error) {
      throw new BrokerError("IO_FAILED", `a message with a descriptor was sent only in part: ${reasonOf(error)}`, {
        details: { syscall: "send", errno: "EIO", check: "sent-in-part" },
        cause: error,
      });
    }
  }

  async receiveExactly(length: number, deadline: Deadline): Promise<ReceivedMessage> {
    const chunks: Buffer[] = [];
    const received: Received[] = [];
    try {
      for (let filled = 0; filled < length; ) {
        const part = this.system.passing.receive(this.openFd("recvmsg"), length - filled);
        received.push(...part.received);
        const count = this.call("recvmsg", part.count);
        if (count === 0) break;
        if (count > 0) {
          chunks.push(part.bytes);
          filled += count;
        } else await this.wait("reading", deadline);
      }
      return { bytes: chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks), received };
    } catch (error) {
      for (const each of received) close(fdOf(each));
      throw error;
    }
  }

  readNow(maxBytes: number): Buffer | undefined {
    if (maxBytes <= SMALL_READ_BYTES) {
      const buffer: Buffer = Buffer.allocUnsafe(maxBytes);
      const got = this.receive(buffer, maxBytes);
      return got === maxBytes ? buffer : got < 0 ? undefined : buffer.subarray(0, got);
    }
    const got = this.receive(scratch, Math.min(maxBytes, scratch.length));
    return got < 0 ? undefined : Buffer.from(scratch.subarray(0, got));
  }

  receiveNow(maxBytes: number): ReceivedMessage | undefined {
    const received = this.system.passing.receive(this.openFd("recvmsg"), maxBytes);
    return this.call("recvmsg", received.count) < 0 ? undefined : received;
  }

  sendNow(bytes: Uint8Array): number {
    return Math.max(0, this.transmit(bytes));
  }

  watchReadable(onReadable: () => void): ReadableWatch {
    if (this.reading !== undefined || this.standingWatch !== undefined) throw new Error("the connection has a reader");
    this.standingWatch = watchReadiness(this.openFd("poll"), "readable", onReadable);
    this.nonBlocking = true;
    return this.standingWatch;
  }

  setBlocking(blocking: boolean): void {
    if (!this.open) return;
    this.blocking = blocking;
    if (this.nonBlocking !== blocking) return;
    // Of the flags that F_SETFL changes a socket of ours has no other one.
    fcntl(this.fd, F_SETFL, blocking ? 0 : constants.O_NONBLOCK);
    this.nonBlocking = !blocking;
  }

  shutdown(): void {
    if (this.open) shutdown(this.fd, SHUT_RDWR);
  }

  openPeer(): ProcessHandle | undefined {
    if (!this.open) return undefined;
    return this.system.openPeer(this.fd, this.peer.pid);
  }

  release(): Socket {
    const fd = this.openFd("release");
    this.dispose("released");
    return new Socket({ fd, readable: true, writable: true });
  }

  close(): void {
    if (!this.open) return;
    this.dispose("closed");
    close(this.fd);
  }

  private openFd(syscall: string): number {
    if (!this.open) throw ioFailed(syscall, "EBADF");
    return this.fd;
  }

  private dispose(why: string): void {
    this.open = false;
    this.standingWatch?.stop();
    for (const pending of [this.reading, this.writing]) {
      pending?.reject(
        new BrokerError("IO_FAILED", `the connection was ${why} during the operation`, {
          details: { errno: "ECONNABORTED" },
        }),
      );
    }
  }

  private receive(room: Buffer, length: number): number {
    return this.call("recv", recv(this.openFd("recv"), room, length, this.system.flags.receive));
  }

  private transmit(bytes: Uint8Array): number {
    return this.call("send", send(this.openFd("send"), bytes, bytes.length, this.system.flags.send));
  }

  /** The result of a transfer; -1 for "would block". Interrupted calls count as that, and the loop tries again. */
  private call(syscall: string, result: number | bigint): number {
    const count = Number(result);
    if (count >= 0) return count;
    const errno = lastErrno();
    if (errno === "EAGAIN" || errno === "EINTR") return -1;
    throw ioFailed(syscall, errno);
  }

  private wait(slot: Slot, deadline: Deadline): Promise<void> {
    if (this[slot] !== undefined) throw new Error(`two operations are ${slot} one connection`);
    if (slot === "reading" && this.standingWatch !== undefined) throw new Error("the connection has a reader");
    if (deadline.passed()) return Promise.reject(timedOut(slot));
    if (slot === "reading" && !this.blocking) this.nonBlocking = true;
    return new Promise((resolve, reject) => {
      this[slot] = new Pending(slot, this, deadline, { resolve, reject });
    });
  }
}

function grow(buffer: Buffer, size: number): Buffer {
  const larger = Buffer.allocUnsafe(size);
  buffer.copy(larger);
  return larger;
}
