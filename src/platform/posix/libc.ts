/**
 * The C library calls that all POSIX systems of ours have and Node has no public interface for. Thin: a call returns what
 * the C function returns, and `lastErrno()` must be read before anything else is called. What differs from system to system
 * is not here (system.ts).
 *
 * A function that is variadic in C is declared so: some systems pass such arguments in another place than named ones (the
 * stack, on Apple's arm64), where a plain declaration would give the kernel garbage.
 */
import koffi from "koffi";

const LIBRARIES: Readonly<Partial<Record<NodeJS.Platform, string>>> = {
  linux: "libc.so.6",
  darwin: "/usr/lib/libSystem.B.dylib",
};

/** The C library of this system. */
export const libc = koffi.load(LIBRARIES[process.platform] ?? null);

export const AF_UNIX = 1;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SHUT_RDWR = 2;
export const F_SETFD = 2;
export const F_GETFL = 3;
export const F_SETFL = 4;
export const FD_CLOEXEC = 1;
export const LOCK_EX = 2;
export const LOCK_NB = 4;
const POLLIN = 1;

/** Ends the process at once: no exit handler runs, no thread is waited for. */
export const exitNow: (status: number) => void = libc.func("void _exit(int status)");
export const socket = libc.func("int socket(int domain, int type, int protocol)");
export const bind = libc.func("int bind(int fd, const void *address, unsigned int length)");
export const listen = libc.func("int listen(int fd, int backlog)");
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
export const flock = libc.func("int flock(int fd, int operation)");
const rawFcntl = libc.func("int fcntl(int fd, int command, ...)");
const rawPoll = libc.func("int poll(void *fds, unsigned long count, int timeout)");
const getsockopt = libc.func("int getsockopt(int fd, int level, int name, void *value, void *length)");

/** For the commands whose argument is an int. */
export function fcntl(fd: number, command: number, argument: number): number {
  return rawFcntl(fd, command, "int", argument);
}

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
export function socketOption(fd: number, level: number, name: number, words: 1 | 3): Int32Array | undefined {
  optionLength[0] = words * Int32Array.BYTES_PER_ELEMENT;
  return getsockopt(fd, level, name, optionValue, optionLength) === 0 ? optionValue : undefined;
}

const pollEntry = Buffer.alloc(8);

/** Is there something to read right now? */
export function isReadable(fd: number): boolean {
  pollEntry.writeInt32LE(fd, 0);
  pollEntry.writeInt16LE(POLLIN, 4);
  pollEntry.writeInt16LE(0, 6);
  return rawPoll(pollEntry, 1, 0) === 1;
}
