// The floor: a server that is nothing but the system calls. It takes a connection, reads exactly as many bytes as the
// request has, writes exactly as many as the reply has, and closes. It knows no message and looks at nothing.
//
// As a broker must be able to wait for many things, the floor waits for its listener on Node's event loop as well;
// with `blocking`, it waits in accept(2) instead, which nothing that serves several peers can do.
//
// With `thorough` it makes every system call that a broker makes for a Hello: it asks who has connected, reads header and
// body one after the other, and asks three times whether anything has happened that it should know. What a broker takes
// above that is what it computes.
//
// Task: { path, readBytes, writeBytes, blocking, thorough }.
import koffi from "koffi";
import {
  AF_UNIX,
  accept4,
  bind,
  close,
  epollCreate1,
  epollWait,
  failed,
  getsockopt,
  listen,
  recv,
  SO_PEERCRED,
  SOCK_CLOEXEC,
  SOCK_STREAM,
  SOL_SOCKET,
  sendAll,
  socket,
  socketAddress,
} from "../lean/libc.mjs";

const { path, readBytes, writeBytes, blocking, thorough } = JSON.parse(process.argv[2]);
const address = socketAddress(path);
const request = Buffer.alloc(readBytes);
const reply = Buffer.alloc(writeBytes, "r");
const HEADER_BYTES = 5;
const credentials = Buffer.alloc(12);
const credentialsLength = new Uint32Array([credentials.length]);
const events = Buffer.alloc(16);
/** Of which nothing ever happens. */
const nothing = thorough ? epollCreate1(0) : -1;

const listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
if (bind(listener, address, address.length) !== 0) throw failed("bind");
if (listen(listener, 4096) !== 0) throw failed("listen");
let handle;
if (blocking) process.stdout.write("ready\n", () => setImmediate(serveForever));
else {
  // Kept, because a handle that is garbage-collected stops polling.
  handle = koffi.node.poll(listener, { readable: true }, serve);
  process.stdout.write("ready\n");
}
process.on("exit", () => handle?.close());

function serveForever() {
  for (;;) serve();
}

function serve() {
  const fd = accept4(listener, null, null, SOCK_CLOEXEC);
  if (fd < 0) throw failed("accept4");
  if (thorough) askAround(fd);
  const headerBytes = thorough ? HEADER_BYTES : 0;
  receive(fd, headerBytes);
  receive(fd, readBytes - headerBytes);
  sendAll(fd, reply);
  close(fd);
}

function receive(fd, length) {
  for (let got = 0; got < length; ) {
    const more = Number(recv(fd, request, length - got, 0));
    if (more <= 0) break;
    got += more;
  }
}

function askAround(fd) {
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, credentials, credentialsLength) !== 0) throw failed("getsockopt");
  for (let times = 0; times < 3; times++) if (epollWait(nothing, events, 1, 0) !== 0) throw failed("epoll_wait");
}
