/**
 * sendmsg(2) and recvmsg(2) with SCM_RIGHTS (unix(7)). The structures live in one block of memory that is laid out once
 * and reused: all calls are synchronous, so there is never more than one user at a time.
 *
 *     msghdr { name, namelen, iov, iovlen, control, controllen, flags }   56 bytes on every 64-bit Linux
 *     iovec  { base, len }                                                 16
 *     cmsghdr{ len, level, type } + descriptors                            16 + 4 each, rounded up to 8
 */
import koffi from "koffi";
import { MSG_NOSIGNAL, recvmsg, SOL_SOCKET, sendmsg } from "./libc.ts";

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
const CONTROL = IOVEC + IOVEC_BYTES;
const DATA = CONTROL + CONTROL_BYTES;

const block: unknown = koffi.alloc("uint8_t", DATA + MESSAGE_BYTES);
const memory = Buffer.from(koffi.view(block, DATA + MESSAGE_BYTES));
const address = koffi.address(block);

memory.fill(0, 0, DATA);
memory.writeBigUInt64LE(address + BigInt(IOVEC), 16);
memory.writeBigUInt64LE(1n, 24);
memory.writeBigUInt64LE(address + BigInt(CONTROL), 32);
memory.writeBigUInt64LE(address + BigInt(DATA), IOVEC);

/** Sends `bytes` (at most MESSAGE_BYTES) with a duplicate of `descriptor` on the first of them. Bytes sent, or -1 (see `lastErrno`). */
export function sendDescriptor(socket: number, bytes: Uint8Array, descriptor: number): number {
  memory.set(bytes, DATA);
  prepare(bytes.length, CMSGHDR_BYTES + DESCRIPTOR_BYTES + 4);
  memory.writeBigUInt64LE(BigInt(CMSGHDR_BYTES + DESCRIPTOR_BYTES), CONTROL);
  memory.writeInt32LE(SOL_SOCKET, CONTROL + 8);
  memory.writeInt32LE(SCM_RIGHTS, CONTROL + 12);
  memory.writeInt32LE(descriptor, CONTROL + CMSGHDR_BYTES);
  return Number(sendmsg(socket, block, MSG_NOSIGNAL));
}

/**
 * Receives up to `length` bytes (at most MESSAGE_BYTES) and the descriptors that ride on them, which become the
 * caller's and are close-on-exec. `count` is -1 on failure (see `lastErrno`), 0 at the end of the stream.
 */
export function receiveDescriptors(
  socket: number,
  length: number,
): { count: number; bytes: Buffer; descriptors: number[] } {
  prepare(Math.min(length, MESSAGE_BYTES), CONTROL_BYTES);
  const count = Number(recvmsg(socket, block, MSG_CMSG_CLOEXEC));
  if (count < 0) return { count, bytes: Buffer.alloc(0), descriptors: [] };
  return { count, bytes: Buffer.from(memory.subarray(DATA, DATA + count)), descriptors: receivedDescriptors() };
}

function prepare(dataBytes: number, controlBytes: number): void {
  memory.writeBigUInt64LE(BigInt(dataBytes), IOVEC + 8);
  memory.fill(0, CONTROL, CONTROL + CONTROL_BYTES);
  memory.writeBigUInt64LE(BigInt(controlBytes), 40);
  memory.writeInt32LE(0, 48);
}

function receivedDescriptors(): number[] {
  const controlBytes = Number(memory.readBigUInt64LE(40));
  if (
    controlBytes < CMSGHDR_BYTES ||
    memory.readInt32LE(CONTROL + 8) !== SOL_SOCKET ||
    memory.readInt32LE(CONTROL + 12) !== SCM_RIGHTS
  )
    return [];
  const count = Math.floor((Number(memory.readBigUInt64LE(CONTROL)) - CMSGHDR_BYTES) / DESCRIPTOR_BYTES);
  return Array.from({ length: Math.min(count, MAX_DESCRIPTORS) }, (_, i) =>
    memory.readInt32LE(CONTROL + CMSGHDR_BYTES + i * DESCRIPTOR_BYTES),
  );
}
