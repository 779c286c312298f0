/**
 * The C library calls that Node has no public interface for. Thin: a call returns what the C function returns, and
 * `lastErrno()` must be read before anything else is called. Constants are those of Linux on every architecture Node
 * supports (asm-generic), except where a table says otherwise.
 */
import koffi from "koffi";

const libc = koffi.load("libc.so.6");

export const AF_UNIX = 1;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
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
export const SHUT_RDWR = 2;
export const F_SETFD = 2;
export const F_GETFL = 3;
export const F_SETFL = 4;
export const FD_CLOEXEC = 1;
export const LOCK_EX = 2;
export const LOCK_NB = 4;
const POLLIN = 1;
const SYS_PIDFD_SEND_SIGNAL = 424;
const SYS_PIDFD_OPEN = 434;

export const socket = libc.func("int socket(int domain, int type, int protocol)");
export const bind = libc.func("int bind(int fd, const void *address, unsigned int length)");
export const listen = libc.func("int listen(int fd, int backlog)");
export const accept4 = libc.func("int accept4(int fd, void *address, void *length, int flags)");
export const connect = libc.func("int connect(int fd, const void *address, unsigned int length)");
export const recv = libc.func("long recv(int fd, void *buffer, size_t length, int flags)");
export const read = libc.func("long read(int fd, void *buffer, size_t length)");
export const send = libc.func("long send(int fd, const void *buffer, size_t length, int flags)");
/** The structure is a raw pointer; see descriptor-passing.ts. */
export const sendmsg = libc.func("long sendmsg(int fd, const void *message, int flags)");
export const recvmsg = libc.func("long recvmsg(int fd, void *message, int flags)");
export const shutdown = libc.func("int shutdown(int fd, int how)");
export const socketpair = libc.func("int socketpair(int domain, int type, int protocol, void *fds)");
export const close = libc.func("int close(int fd)");
export const fchmod = libc.func("int fchmod(int fd, unsigned int mode)");
export const fsync = libc.func("int fsync(int fd)");
export const fcntl = libc.func("fcntl", "int", ["int", "int", "int"]);
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
export const flock = libc.func("int flock(int fd, int operation)");
const rawPoll = libc.func("int poll(void *fds, unsigned long count, int timeout)");
const getsockopt = libc.func("int getsockopt(int fd, int level, int name, void *value, void *length)");
const rawPidfdOpen = libc.func("syscall", "long", ["long", "int", "unsigned int"]);
const rawPidfdSendSignal = libc.func("syscall", "long", ["long", "int", "int", "void *", "unsigned int"]);

const ERRNO_NAMES = new Map(Object.entries(koffi.os.errno).map(([name, number]) => [number, name]));

/** Symbolic errno of the last call; EWOULDBLOCK is EAGAIN. */
export function lastErrno(): string {
  const number = koffi.errno();
  const name = ERRNO_NAMES.get(number) ?? `E${number}`;
  return name === "EWOULDBLOCK" ? "EAGAIN" : name;
}

const optionValue = new Int32Array(3);
const optionLength = new Uint32Array(1);

/** The option as 32-bit words, or undefined (see `lastErrno`). The result is only good until the next call. */
export function socketOption(fd: number, name: number, words: 1 | 3): Int32Array | undefined {
  optionLength[0] = words * Int32Array.BYTES_PER_ELEMENT;
  return getsockopt(fd, SOL_SOCKET, name, optionValue, optionLength) === 0 ? optionValue : undefined;
}

const pollEntry = Buffer.alloc(8);

/** Is there something to read right now? */
export function isReadable(fd: number): boolean {
  pollEntry.writeInt32LE(fd, 0);
  pollEntry.writeInt16LE(POLLIN, 4);
  pollEntry.writeInt16LE(0, 6);
  return rawPoll(pollEntry, 1, 0) === 1;
}

/** A close-on-exec descriptor, or -1. */
export function pidfdOpen(pid: number): number {
  return Number(rawPidfdOpen(SYS_PIDFD_OPEN, pid, 0));
}

/** 0, or -1. */
export function pidfdSendSignal(pidfd: number, signal: number): number {
  return Number(rawPidfdSendSignal(SYS_PIDFD_SEND_SIGNAL, pidfd, signal, null, 0));
}
