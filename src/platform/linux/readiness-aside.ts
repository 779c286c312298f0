/**
 * Waiting for a descriptor through an epoll set of its own. Two things that a watch on the descriptor itself cannot do:
 *
 *   a second watch      libuv aborts the process at two watches on one descriptor, and one for reading may be armed
 *   leave it blocking   uv_poll_init sets O_NONBLOCK, which belongs to the open file description: a process that was given a
 *                       duplicate, and reads it blocking, would suddenly meet EAGAIN
 */
import { acquire } from "../../base/disposal-stack.ts";
import { ioFailed } from "../errno.ts";
import { close, lastErrno } from "../posix/libc.ts";
import { onceReady, type ReadinessWatch } from "../posix/sockets/readiness.ts";
import { EPOLL_CLOEXEC, EPOLLIN, EPOLLOUT, epollAdd } from "./kernel/epoll.ts";
import { epollCreate1 } from "./kernel/libc.ts";

/**
 * Calls `onReady` once. Borrows `fd` until it was called or `stop`.
 *
 * @throws BrokerError IO_FAILED (EMFILE, ENFILE, ENOSPC, …)
 */
export function onceReadyAside(
  fd: number,
  event: "readable" | "writable",
  onReady: () => void,
): Pick<ReadinessWatch, "stop"> {
  const set = epollCreate1(EPOLL_CLOEXEC);
  if (set < 0) throw ioFailed("epoll_create1", lastErrno());
  const watch = acquire((held) => {
    held.defer(() => close(set));
    if (!epollAdd(set, fd, event === "readable" ? EPOLLIN : EPOLLOUT)) throw ioFailed("epoll_ctl", lastErrno());
    return onceReady(set, "readable", onReady);
  });
  let stopped = false;
  return {
    stop() {
      if (stopped) return;
      stopped = true;
      watch.stop();
      close(set);
    },
  };
}
