/**
 * sendmsg(2) and recvmsg(2) with SCM_RIGHTS (unix(7)). The structures live in one block of memory that is laid out once
 * and reused: all calls are synchronous, so there is never more than one user at a time.
 *
 *     msghdr { name, namelen, iov, iovlen, control, controllen, flags }   56 bytes on every 64-bit Linux
 *     iovec  { base, len }                                                 16
 *     cmsghdr{ len, level, type } + descriptors                            16 + 4 each, rounded up to 8
 */
import koffi from "koffi";
import { receivedOf } from "../node/descriptors.ts";
import type { Received } from "../ports/index.ts";
import { MSG_DONTWAIT, MSG_NOSIGNAL, recvmsg, SOL_SOCKET, sendmsg } from "./libc.ts";

/** Bytes that one call moves at most. */
export const MESSAGE_BYTES = 64 * 1024;
/** Room for more than the one descriptor that is expected: the rest would be lost silently (MSG_CTRUNC) instead of refused. */
const MAX_DESCRIPTORS = 8;

const SCM_RIGHTS = 1;
const MSG_CMSG_CLOEXEC = 0x40000000;
const MSGHDR_BYTES = 56;
const IOVEC_BYTES = 16;
const CMSGHDR_BYTES = 16;
const DESCRIPTOR_BYTES = 4;
const CONTROL_BYTES = CMSGHDR_BYTES + MAX_DESCRIPTORS * DESCRIPTOR_BYTES;

const IOVEC = MSGHDR_BYTES;
const IOVEC_LENGTH = IOVEC + 8;
const CONTROL = IOVEC + IOVEC_BYTES;
const CONTROL_LENGTH = 40;
const FLAGS = 48;
const DATA = CONTROL + CONTROL_BYTES;

interface Message {
  /** What the call gets. */
  readonly block: unknown;
  /** The same memory. Lengths are below 2^32: of each only the lower half is ever written. */
  readonly memory: Buffer;
}

function layOut(): Message {
  const block: unknown = koffi.alloc("uint8_t", DATA + MESSAGE_BYTES);
  const memory = Buffer.from(koffi.view(block, DATA + MESSAGE_BYTES));
  const address = koffi.address(block);
  memory.fill(0, 0, DATA);
  memory.writeBigUInt64LE(address + BigInt(IOVEC), 16);
  memory.writeBigUInt64LE(1n, 24);
  memory.writeBigUInt64LE(address + BigInt(CONTROL), 32);
  memory.writeBigUInt64LE(address + BigInt(DATA), IOVEC);
  return { block, memory };
}

const outgoing = layOut();
outgoing.memory.writeUInt32LE(CMSGHDR_BYTES + DESCRIPTOR_BYTES + 4, CONTROL_LENGTH);
outgoing.memory.writeUInt32LE(CMSGHDR_BYTES + DESCRIPTOR_BYTES, CONTROL);
outgoing.memory.writeInt32LE(SOL_SOCKET, CONTROL + 8);
outgoing.memory.writeInt32LE(SCM_RIGHTS, CONTROL + 12);
const incoming = layOut();

/**
 * Sends `bytes` (at most MESSAGE_BYTES) with a duplicate of `descriptor` on the first of them. Never waits. Bytes sent, or
 * -1 (see `lastErrno`; EAGAIN: nothing was sent).
 */
export function sendDescriptor(socket: number, bytes: Uint8Array, descriptor: number): number {
  const { block, memory } = outgoing;
  memory.set(bytes, DATA);
  memory.writeUInt32LE(bytes.length, IOVEC_LENGTH);
  memory.writeInt32LE(descriptor, CONTROL + CMSGHDR_BYTES);
  return Number(sendmsg(socket, block, MSG_NOSIGNAL | MSG_DONTWAIT));
}

/**
 * Receives up to `length` bytes (at most MESSAGE_BYTES) and the descriptors that ride on them, which become the
 * caller's and are close-on-exec. Never waits. `count` is -1 on failure (see `lastErrno`; EAGAIN: nothing is there), 0 at
 * the end of the stream.
 */
export function receiveDescriptors(
  socket: number,
  length: number,
): { count: number; bytes: Buffer; received: Received[] } {
  const { block, memory } = incoming;
  memory.writeUInt32LE(Math.min(length, MESSAGE_BYTES), IOVEC_LENGTH);
  memory.writeUInt32LE(CONTROL_BYTES, CONTROL_LENGTH);
  memory.writeUInt32LE(0, FLAGS);
  const count = Number(recvmsg(socket, block, MSG_CMSG_CLOEXEC | MSG_DONTWAIT));
  if (count < 0) return { count, bytes: Buffer.alloc(0), received: [] };
  return { count, bytes: Buffer.from(memory.subarray(DATA, DATA + count)), received: receivedDescriptors() };
}

/** What recvmsg(2) has left in the control block; it says how long that is. */
function receivedDescriptors(): Received[] {
  const { memory } = incoming;
  const controlBytes = memory.readUInt32LE(CONTROL_LENGTH);
  if (
    controlBytes < CMSGHDR_BYTES ||
    memory.readInt32LE(CONTROL + 8) !== SOL_SOCKET ||
    memory.readInt32LE(CONTROL + 12) !== SCM_RIGHTS
  )
    return [];
  const count = Math.floor((memory.readUInt32LE(CONTROL) - CMSGHDR_BYTES) / DESCRIPTOR_BYTES);
  return Array.from({ length: Math.min(count, MAX_DESCRIPTORS) }, (_, i) =>
    receivedOf(memory.readInt32LE(CONTROL + CMSGHDR_BYTES + i * DESCRIPTOR_BYTES)),
  );
}
