// Blocking calls of the C library on local sockets: what both the lean clients and the floors are made of.
import koffi from "koffi";

const libc = koffi.load("libc.so.6");
export const socket = libc.func("int socket(int domain, int type, int protocol)");
export const bind = libc.func("int bind(int fd, const void *address, unsigned int length)");
export const listen = libc.func("int listen(int fd, int backlog)");
export const accept4 = libc.func("int accept4(int fd, void *address, void *length, int flags)");
export const connect = libc.func("int connect(int fd, const void *address, unsigned int length)");
export const send = libc.func("long send(int fd, const void *buffer, size_t length, int flags)");
export const recv = libc.func("long recv(int fd, void *buffer, size_t length, int flags)");
export const poll = libc.func("int poll(void *fds, unsigned long count, int timeout)");
export const getsockopt = libc.func("int getsockopt(int fd, int level, int name, void *value, void *length)");
export const epollCreate1 = libc.func("int epoll_create1(int flags)");
export const epollWait = libc.func("int epoll_wait(int set, void *events, int most, int timeout)");
export const close = libc.func("int close(int fd)");

export const AF_UNIX = 1;
export const SOCK_STREAM = 1;
export const SOCK_CLOEXEC = 0o2000000;
export const MSG_NOSIGNAL = 0x4000;
export const POLLIN = 1;
export const SOL_SOCKET = 1;
export const SO_PEERCRED = 17;

export function socketAddress(path) {
  const bytes = Buffer.from(path);
  const address = Buffer.alloc(2 + bytes.length + 1);
  address.writeUInt16LE(AF_UNIX, 0);
  bytes.copy(address, 2);
  return address;
}

/** A connected, blocking stream. */
export function dial(address) {
  const fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, address, address.length) !== 0) throw failed("connect");
  return fd;
}

export function sendAll(fd, bytes) {
  // A message of the sizes used here fits into an empty socket whole.
  if (Number(send(fd, bytes, bytes.length, MSG_NOSIGNAL)) !== bytes.length) throw failed("send");
}

export function failed(call) {
  return new Error(`${call} failed with errno ${koffi.errno()}`);
}
