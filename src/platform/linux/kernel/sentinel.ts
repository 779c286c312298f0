/**
 * Descriptors that seldom become readable and matter at once when they do: a process ended, something changed in a
 * directory. A broker wants to know before it answers a Hello, when its event loop may not have got that far, and one
 * epoll_wait(2) that does not wait tells of all of them; asking each by itself cost a Hello three times as much.
 */

import { close, lastErrno } from "../../posix/libc.ts";
import { EPOLL_CLOEXEC, EPOLLIN, EVENT_BYTES, EVENT_DATA, epollAdd, epollRemove } from "./epoll.ts";
import { epollCreate1, epollWait } from "./libc.ts";

const MOST_EVENTS = 16;

const guarded = new Map<number, () => void>();
const events = Buffer.alloc(EVENT_BYTES * MOST_EVENTS);
let set = -1;

/**
 * From now on `look` calls `onReadable` as long as there is something to read. Borrows `fd` until `unguard`, which must
 * come before it is closed. False when it cannot be guarded (descriptors ran out).
 */
export function guard(fd: number, onReadable: () => void): boolean {
  if (set < 0) set = epollCreate1(EPOLL_CLOEXEC);
  if (set < 0 || !epollAdd(set, fd, EPOLLIN)) {
    closeUnused();
    return false;
  }
  guarded.set(fd, onReadable);
  return true;
}

export function unguard(fd: number): void {
  if (!guarded.delete(fd)) return;
  epollRemove(set, fd);
  closeUnused();
}

/** What happened until now is known when it returns. */
export function look(): void {
  if (set < 0) return;
  for (;;) {
    const count: number = epollWait(set, events, MOST_EVENTS, 0);
    if (count === 0) return;
    if (count < 0) {
      if (lastErrno() === "EINTR") continue;
      return;
    }
    const ready = Array.from({ length: count }, (_, index) => events.readInt32LE(index * EVENT_BYTES + EVENT_DATA));
    for (const fd of ready) guarded.get(fd)?.();
    if (count < MOST_EVENTS) return;
  }
}

function closeUnused(): void {
  if (set < 0 || guarded.size > 0) return;
  close(set);
  set = -1;
}
