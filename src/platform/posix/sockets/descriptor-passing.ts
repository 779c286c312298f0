/**
 * sendmsg(2) and recvmsg(2) with SCM_RIGHTS (unix(7)). The structures, which each system lays out in its own way, live in one
 * block of memory that is filled once and reused: all calls are synchronous, so there is never more than one user at a time.
 */
import koffi from "koffi";
import type { Received } from "../../ports/index.ts";
import { receivedOf } from "../descriptors.ts";
import { recvmsg, sendmsg } from "../libc.ts";
import type { MessageLayout, PosixSystem } from "./system.ts";

/** Bytes that one call moves at most. */
const MESSAGE_BYTES = 64 * 1024;

const SCM_RIGHTS = 1;
/** struct iovec { base, len } */
const IOVEC_BYTES = 16;
const IOVEC_LENGTH = 8;
const DESCRIPTOR_BYTES = 4;

export interface DescriptorPassing {
  /**
   * Sends `bytes` (at most MESSAGE_BYTES) with a duplicate of `descriptor` on the first of them. Never waits. Bytes sent, or
   * -1 (see `lastErrno`; EAGAIN: nothing was sent).
   */
  send(socket: number, bytes: Uint8Array, descriptor: number): number;
  /**
   * Receives up to `length` bytes (at most MESSAGE_BYTES) and the descriptors that ride on them, which become the
   * caller's and are close-on-exec. Never waits. `count` is -1 on failure (see `lastErrno`; EAGAIN: nothing is there), 0 at
   * the end of the stream. Linux never goes past bytes on which descriptors ride (unix(7)).
   */
  receive(socket: number, length: number): { count: number; bytes: Buffer; received: Received[] };
}

export function createDescriptorPassing({
  messages: layout,
  flags,
}: Pick<PosixSystem, "flags" | "messages">): DescriptorPassing {
  const at = placesIn(layout);
  const outgoing = layOut(layout);
  outgoing.memory.writeUInt32LE(layout.sentControlBytes, layout.header.controlLength);
  outgoing.memory.writeUInt32LE(layout.control.bytes + DESCRIPTOR_BYTES, at.control);
  outgoing.memory.writeInt32LE(layout.socketLevel, at.level);
  outgoing.memory.writeInt32LE(SCM_RIGHTS, at.type);
  const incoming = layOut(layout);

  /** What recvmsg(2) has left in the control block; it says how long that is. */
  const receivedDescriptors = (): Received[] => {
    const { memory } = incoming;
    const controlBytes = memory.readUInt32LE(layout.header.controlLength);
    if (
      controlBytes < layout.control.bytes ||
      memory.readInt32LE(at.level) !== layout.socketLevel ||
      memory.readInt32LE(at.type) !== SCM_RIGHTS
    )
      return [];
    const count = Math.floor((memory.readUInt32LE(at.control) - layout.control.bytes) / DESCRIPTOR_BYTES);
    return Array.from({ length: Math.min(count, layout.maxDescriptors) }, (_, i) =>
      receivedOf(memory.readInt32LE(at.descriptors + i * DESCRIPTOR_BYTES)),
    );
  };

  return {
    send(socket, bytes, descriptor) {
      const { block, memory } = outgoing;
      memory.set(bytes, at.data);
      memory.writeUInt32LE(bytes.length, at.partLength);
      memory.writeInt32LE(descriptor, at.descriptors);
      return Number(sendmsg(socket, block, flags.send));
    },
    receive(socket, length) {
      const { block, memory } = incoming;
      memory.writeUInt32LE(Math.min(length, MESSAGE_BYTES), at.partLength);
      memory.writeUInt32LE(at.controlBytes, layout.header.controlLength);
      memory.writeUInt32LE(0, layout.header.flags);
      const count = Number(recvmsg(socket, block, flags.receiveMessage));
      if (count < 0) return { count, bytes: Buffer.alloc(0), received: [] };
      return { count, bytes: Buffer.from(memory.subarray(at.data, at.data + count)), received: receivedDescriptors() };
    },
  };
}

/** Offsets in a block: header, one part, the control block, the part's bytes. */
function placesIn({ header, control, maxDescriptors }: MessageLayout) {
  const part = header.bytes;
  const controlAt = part + IOVEC_BYTES;
  const controlBytes = control.bytes + maxDescriptors * DESCRIPTOR_BYTES;
  return {
    part,
    partLength: part + IOVEC_LENGTH,
    control: controlAt,
    controlBytes,
    level: controlAt + control.level,
    type: controlAt + control.type,
    descriptors: controlAt + control.bytes,
    data: controlAt + controlBytes,
  };
}

interface Message {
  /** What the call gets. */
  readonly block: unknown;
  /** The same memory. */
  readonly memory: Buffer;
}

function layOut(layout: MessageLayout): Message {
  const at = placesIn(layout);
  const block: unknown = koffi.alloc("uint8_t", at.data + MESSAGE_BYTES);
  const memory = Buffer.from(koffi.view(block, at.data + MESSAGE_BYTES));
  const address = koffi.address(block);
  memory.fill(0, 0, at.data);
  memory.writeBigUInt64LE(address + BigInt(at.part), layout.header.parts);
  memory.writeUInt32LE(1, layout.header.partCount);
  memory.writeBigUInt64LE(address + BigInt(at.control), layout.header.control);
  memory.writeBigUInt64LE(address + BigInt(at.data), at.part);
  return { block, memory };
}
