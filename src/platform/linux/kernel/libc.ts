/**
 * The C library calls and the constants that only Linux has (asm-generic: the same on every architecture Node supports).
 * As thin as those of posix/libc.ts.
 */
import { libc, socketOption } from "../../posix/libc.ts";

export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;
export const SOL_SOCKET = 1;
export const SO_TYPE = 3;
export const SO_PEERCRED = 17;
export const SO_ACCEPTCONN = 30;
/** Linux 6.5: a pidfd of the peer (net/core/sock.c). */
export const SO_PEERPIDFD = 77;
export const MSG_NOSIGNAL = 0x4000;
export const MSG_DONTWAIT = 0x40;
export const MSG_CMSG_CLOEXEC = 0x40000000;
const SYS_PIDFD_SEND_SIGNAL = 424;
const SYS_PIDFD_OPEN = 434;

export const accept4 = libc.func("int accept4(int fd, void *address, void *length, int flags)");
export const statx = libc.func("int statx(int directory, const char *path, int flags, unsigned int mask, void *facts)");
/** Less than asked for only when a signal interrupts a call for more than 256 bytes (getrandom(2)). */
export const getrandom = libc.func("long getrandom(void *buffer, size_t length, unsigned int flags)");
export const epollCreate1 = libc.func("int epoll_create1(int flags)");
export const epollCtl = libc.func("int epoll_ctl(int set, int operation, int fd, const void *event)");
export const epollWait = libc.func("int epoll_wait(int set, void *events, int most, int timeout)");
export const inotifyInit1 = libc.func("int inotify_init1(int flags)");
export const inotifyAddWatch = libc.func("int inotify_add_watch(int queue, const char *path, unsigned int mask)");
export const inotifyRmWatch = libc.func("int inotify_rm_watch(int queue, int watch)");
const fallocate = libc.func("int fallocate(int fd, int mode, int64_t offset, int64_t length)");
/** On a thread of the pool; the call's errno is not to be had. */
export const fallocateAside: (
  fd: number,
  mode: number,
  offset: number,
  length: number,
  done: (error: Error | null, result: number) => void,
) => void = fallocate.async;
const syscall = libc.func("long syscall(long number, ...)");

/** @see socketOption in posix/libc.ts */
export function socketLevelOption(fd: number, name: number, words: 1 | 3): Int32Array | undefined {
  return socketOption(fd, SOL_SOCKET, name, words);
}

/** A close-on-exec descriptor, or -1. */
export function pidfdOpen(pid: number): number {
  return Number(syscall(SYS_PIDFD_OPEN, "int", pid, "unsigned int", 0));
}

/** 0, or -1. */
export function pidfdSendSignal(pidfd: number, signal: number): number {
  return Number(syscall(SYS_PIDFD_SEND_SIGNAL, "int", pidfd, "int", signal, "void *", null, "unsigned int", 0));
}
