/**
 * A connected Unix stream as a raw, non-blocking descriptor. Reads are tried at once and wait for readiness only when
 * nothing is there: after accept the first frame usually is. Nothing is read ahead, because what follows a frame may
 * belong to the process that is handed the connection.
 *
 * States: open (at most one pending read and one pending write, each with its own watch and timer), closed or released
 * (none). `dispose` is the only way out of open.
 *
 * A connection that has to wait a second time is taken for one that lives on messages, such as a control channel: its
 * watch for reading stays armed between waits, which saves setting it up and taking it down for each message.
 */
import { Socket } from "node:net";
import type { Clock, Deadline, Timer } from "../../base/clock.ts";
import { BrokerError, reasonOf } from "../../base/errors.ts";
import { ioFailed } from "../errno.ts";
import type { Connection, PeerCredentials, ProcessHandle, ReceivedMessage } from "../ports.ts";
import { receiveDescriptors, sendDescriptor } from "./descriptor-passing.ts";
import {
  close,
  F_DUPFD_CLOEXEC,
  fcntl,
  lastErrno,
  MSG_NOSIGNAL,
  recv,
  SHUT_RDWR,
  SO_PEERCRED,
  SO_PEERPIDFD,
  send,
  shutdown,
  socketOption,
} from "./libc.ts";
import { createProcessHandle } from "./process-handle.ts";
import { onceReady, type ReadinessWatch, watchReadiness } from "./readiness.ts";

/** Bodies are read in steps of this size, so that a peer's claim of 16 MiB costs memory only as the bytes come. */
const READ_STEP_BYTES = 256 * 1024;

/** Consumes `fd`, which must be a connected, non-blocking stream socket. */
export function createConnection(fd: number): Connection {
  return new UnixConnection(fd);
}

/**
 * For reads of unknown length: a large buffer made for each would be garbage that calls for collections out of all
 * proportion. Reading is synchronous, so one serves all.
 */
const scratch = Buffer.allocUnsafeSlow(64 * 1024);

interface Pending {
  readonly watch: ReadinessWatch;
  readonly timer: Timer;
  readonly resolve: () => void;
  readonly reject: (error: BrokerError) => void;
}

class UnixConnection implements Connection {
  private open = true;
  private reading: Pending | undefined;
  private writing: Pending | undefined;
  private credentials: PeerCredentials | undefined;
  private hasWaited = false;
  /** Armed between waits; level-triggered, so it is given up as soon as it fires while nobody waits. */
  private standingWatch: ReadinessWatch | undefined;
  private postponed: Timer | undefined;
  private readonly noticeReadable = (): void => {
    if (this.reading !== undefined) return this.reading.resolve();
    this.standingWatch?.stop();
    this.standingWatch = undefined;
  };

  constructor(readonly fd: number) {}

  get peer(): PeerCredentials {
    this.credentials ??= readCredentials(this.fd);
    return this.credentials;
  }

  async readExactly(length: number, deadline: Deadline): Promise<Buffer> {
    let buffer: Buffer = Buffer.allocUnsafe(Math.min(length, READ_STEP_BYTES));
    let filled = 0;
    while (filled < length) {
      if (filled === buffer.length) buffer = grow(buffer, Math.min(length, buffer.length * 2));
      const room = filled === 0 ? buffer : buffer.subarray(filled);
      const got = this.call("recv", recv(this.openFd("recv"), room, room.length, 0));
      if (got === 0) return buffer.subarray(0, filled);
      if (got > 0) filled += got;
      else await this.wait("reading", "readable", deadline);
    }
    return buffer.subarray(0, length);
  }

  async writeAll(bytes: Uint8Array, deadline: Deadline): Promise<void> {
    let sent = 0;
    while (sent < bytes.length) {
      const rest = sent === 0 ? bytes : bytes.subarray(sent);
      const took = this.call("send", send(this.openFd("send"), rest, rest.length, MSG_NOSIGNAL));
      if (took > 0) sent += took;
      else await this.wait("writing", "writable", deadline);
    }
  }

  async sendWithDescriptor(bytes: Uint8Array, descriptor: number, deadline: Deadline): Promise<void> {
    for (;;) {
      const took = this.call("sendmsg", sendDescriptor(this.openFd("sendmsg"), bytes, descriptor));
      if (took > 0) return this.sendRest(bytes.subarray(took), deadline);
      await this.wait("writing", "writable", deadline);
    }
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
    const descriptors: number[] = [];
    try {
      for (let filled = 0; filled < length; ) {
        const received = receiveDescriptors(this.openFd("recvmsg"), length - filled);
        descriptors.push(...received.descriptors);
        const count = this.call("recvmsg", received.count);
        if (count === 0) break;
        if (count > 0) {
          chunks.push(received.bytes);
          filled += count;
        } else await this.wait("reading", "readable", deadline);
      }
      return { bytes: chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks), descriptors };
    } catch (error) {
      for (const descriptor of descriptors) close(descriptor);
      throw error;
    }
  }

  async receiveSome(maxBytes: number, deadline: Deadline): Promise<ReceivedMessage> {
    for (;;) {
      const received = receiveDescriptors(this.openFd("recvmsg"), maxBytes);
      if (this.call("recvmsg", received.count) >= 0) return received;
      await this.wait("reading", "readable", deadline);
    }
  }

  takeAvailable(maxBytes: number): Buffer {
    const got = Number(recv(this.openFd("recv"), scratch, Math.min(maxBytes, scratch.length), 0));
    return Buffer.from(scratch.subarray(0, Math.max(0, got)));
  }

  sendAvailable(bytes: Uint8Array): number {
    return Math.max(0, Number(send(this.openFd("send"), bytes, bytes.length, MSG_NOSIGNAL)));
  }

  async readSome(maxBytes: number, deadline: Deadline): Promise<Buffer> {
    for (;;) {
      const got = this.call("recv", recv(this.openFd("recv"), scratch, Math.min(maxBytes, scratch.length), 0));
      if (got >= 0) return Buffer.from(scratch.subarray(0, got));
      await this.wait("reading", "readable", deadline);
    }
  }

  postponeReading(clock: Clock, ms: number): void {
    if (ms === 0) return this.endPostponement();
    if (this.standingWatch === undefined || this.postponed !== undefined) return;
    this.standingWatch.pause();
    this.postponed = clock.schedule(ms, () => this.endPostponement());
  }

  private endPostponement(): void {
    if (this.postponed === undefined) return;
    this.postponed.cancel();
    this.postponed = undefined;
    this.standingWatch?.resume();
  }

  shutdown(): void {
    if (this.open) shutdown(this.fd, SHUT_RDWR);
  }

  openPeer(): ProcessHandle | undefined {
    if (!this.open) return undefined;
    const pidfd = socketOption(this.fd, SO_PEERPIDFD, 1)?.[0];
    return pidfd === undefined ? undefined : createProcessHandle(this.peer.pid, pidfd);
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
    this.postponed?.cancel();
    this.standingWatch?.stop();
    for (const pending of [this.reading, this.writing]) {
      pending?.reject(
        new BrokerError("IO_FAILED", `the connection was ${why} during the operation`, {
          details: { errno: "ECONNABORTED" },
        }),
      );
    }
  }

  /** The result of a transfer; -1 for "would block". Interrupted calls count as that, and the loop tries again. */
  private call(syscall: string, result: number | bigint): number {
    const count = Number(result);
    if (count >= 0) return count;
    const errno = lastErrno();
    if (errno === "EAGAIN" || errno === "EINTR") return -1;
    throw ioFailed(syscall, errno);
  }

  private wait(slot: "reading" | "writing", event: "readable" | "writable", deadline: Deadline): Promise<void> {
    if (this[slot] !== undefined) throw new Error(`two operations are ${slot} one connection`);
    if (deadline.passed()) return Promise.reject(timedOut(slot));
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        if (pending.watch === this.standingWatch) pending.watch.hold(false);
        else pending.watch.stop();
        pending.timer.cancel();
        this[slot] = undefined;
      };
      const fail = (error: BrokerError): void => {
        settle();
        reject(error);
      };
      const pending: Pending = {
        watch: this.watchFor(event),
        timer: deadline.arm(() => fail(timedOut(slot))),
        resolve: () => {
          settle();
          resolve();
        },
        reject: fail,
      };
      this[slot] = pending;
    });
  }

  private watchFor(event: "readable" | "writable"): ReadinessWatch {
    if (event === "writable") return watchForWriting(this.fd, () => this.writing?.resolve());
    if (!this.hasWaited) {
      this.hasWaited = true;
      return onceReady(this.fd, event, () => this.reading?.resolve());
    }
    this.standingWatch ??= watchReadiness(this.fd, event, this.noticeReadable);
    this.standingWatch.hold(true);
    return this.standingWatch;
  }
}

/** On a duplicate: libuv aborts the process at a second watch on a descriptor, and one for reading may be armed. */
function watchForWriting(fd: number, onWritable: () => void): ReadinessWatch {
  const copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) throw ioFailed("fcntl", lastErrno());
  const watch = onceReady(copy, "writable", onWritable);
  let stopped = false;
  return {
    ...watch,
    stop() {
      if (stopped) return;
      stopped = true;
      watch.stop();
      close(copy);
    },
  };
}

function timedOut(slot: string): BrokerError {
  return new BrokerError("DEADLINE_EXCEEDED", `the deadline passed while ${slot} a local socket`);
}

function grow(buffer: Buffer, size: number): Buffer {
  const larger = Buffer.allocUnsafe(size);
  buffer.copy(larger);
  return larger;
}

function readCredentials(fd: number): PeerCredentials {
  const words = socketOption(fd, SO_PEERCRED, 3);
  if (words === undefined) throw ioFailed("getsockopt SO_PEERCRED", lastErrno());
  const [pid = 0, uid = -1] = words;
  return { pid, uid, identity: String(uid >>> 0) };
}
