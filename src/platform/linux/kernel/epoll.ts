/** epoll(7): sets of descriptors, each of which is itself a descriptor. */
import { epollCtl } from "./libc.ts";

export const EPOLL_CLOEXEC = 0o2000000;
export const EPOLLIN = 1;
export const EPOLLOUT = 4;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;

/** struct epoll_event (epoll_ctl(2)) has no gap between its 32 and its 64 bits: packed on x86-64, by its nature on i386. */
const DENSE = process.arch === "x64" || process.arch === "ia32";
export const EVENT_BYTES = DENSE ? 12 : 16;
/** Offset of the member `data`, which holds the descriptor. */
export const EVENT_DATA = DENSE ? 4 : 8;

/** Level-triggered; borrows `fd` until `epollRemove`. False on failure (see `lastErrno`). */
export function epollAdd(set: number, fd: number, events: number): boolean {
  const event = Buffer.alloc(EVENT_BYTES);
  event.writeUInt32LE(events, 0);
  event.writeInt32LE(fd, EVENT_DATA);
  return epollCtl(set, EPOLL_CTL_ADD, fd, event) === 0;
}

export function epollRemove(set: number, fd: number): void {
  epollCtl(set, EPOLL_CTL_DEL, fd, null);
}
