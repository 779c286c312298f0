/**
 * Descriptors that seldom become readable and matter at once when they do: a process ended, something changed in a
 * directory. A broker wants to know before it answers a Hello, when its event loop may not have got that far, and one
 * epoll_wait(2) that does not wait tells of all of them; asking each by itself cost a Hello three times as much.
 */
import { close, epollCreate1, epollCtl, epollWait, lastErrno } from "./libc.ts";

const EPOLL_CLOEXEC = 0o2000000;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLLIN = 1;

/** struct epoll_event (epoll_ctl(2)) has no gap between its 32 and its 64 bits: packed on x86-64, by its nature on i386. */
const DENSE = process.arch === "x64" || process.arch === "ia32";
const EVENT_BYTES = DENSE ? 12 : 16;
const DATA = DENSE ? 4 : 8;
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
  const event = Buffer.alloc(EVENT_BYTES);
  event.writeUInt32LE(EPOLLIN, 0);
  event.writeInt32LE(fd, DATA);
  if (set < 0 || epollCtl(set, EPOLL_CTL_ADD, fd, event) !== 0) {
    closeUnused();
    return false;
  }
  guarded.set(fd, onReadable);
  return true;
}

export function unguard(fd: number): void {
  if (!guarded.delete(fd)) return;
  epollCtl(set, EPOLL_CTL_DEL, fd, null);
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
    const ready = Array.from({ length: count }, (_, index) => events.readInt32LE(index * EVENT_BYTES + DATA));
    for (const fd of ready) guarded.get(fd)?.();
    if (count < MOST_EVENTS) return;
  }
}

function closeUnused(): void {
  if (set < 0 || guarded.size > 0) return;
  close(set);
  set = -1;
}
