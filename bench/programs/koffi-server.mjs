// The floor: a server that is nothing but the system calls. It takes a connection, reads exactly as many bytes as the
// request has, writes exactly as many as the reply has, and closes. It knows no message and looks at nothing.
//
// As a broker must be able to wait for many things, the floor waits for its listener on Node's event loop as well;
// with `blocking`, it waits in accept(2) instead, which nothing that serves several peers can do.
//
// Task: { path, readBytes, writeBytes, blocking }.
import koffi from "koffi";
import {
  AF_UNIX,
  accept4,
  bind,
  close,
  failed,
  listen,
  recv,
  SOCK_CLOEXEC,
  SOCK_STREAM,
  sendAll,
  socket,
  socketAddress,
} from "../lean/libc.mjs";

const { path, readBytes, writeBytes, blocking } = JSON.parse(process.argv[2]);
const address = socketAddress(path);
const request = Buffer.alloc(readBytes);
const reply = Buffer.alloc(writeBytes, "r");

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
  for (let got = 0; got < readBytes; ) {
    const more = Number(recv(fd, request, readBytes - got, 0));
    if (more <= 0) break;
    got += more;
  }
  sendAll(fd, reply);
  close(fd);
}
