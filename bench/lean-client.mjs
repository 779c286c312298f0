// A client as small as one can be: blocking calls of the C library, no event loop, messages encoded beforehand. It
// stands for clients in other languages, and shows what the broker and the backend cost without the client library.
//
// What it saves on purpose, on every route alike: the reply's content is only looked at in `check`, before measuring.
import koffi from "koffi";
import { CAPABILITY } from "../dist/wire/capabilities.js";
import { decodeMessage, encodeMessage } from "../dist/wire/codec.js";
import { decodeFrame, encodeRequest } from "../dist/wire/envelope.js";
import { readReadyEvent } from "../dist/wire/handoff.js";
import { HelloReplySchema, HelloSchema } from "../dist/wire/messages.js";
import { PAYLOAD_PROTOCOL } from "../dist/wire/payload-protocol.js";

const libc = koffi.load("libc.so.6");
const socket = libc.func("int socket(int domain, int type, int protocol)");
const connect = libc.func("int connect(int fd, const void *address, unsigned int length)");
const send = libc.func("long send(int fd, const void *buffer, size_t length, int flags)");
const recv = libc.func("long recv(int fd, void *buffer, size_t length, int flags)");
const close = libc.func("int close(int fd)");

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;
const MSG_NOSIGNAL = 0x4000;
const HEADER_BYTES = 5;

/** Frames that came on the connection in use; one at a time, so one buffer serves all. */
const buffer = Buffer.alloc(64 * 1024);
let filled = 0;
let taken = 0;

export function createLeanClient({ broker, service, version, protocol, payload, pid }) {
  const brokerAddress = socketAddress(broker);
  const hello = (capabilities) => encodeHello({ service, version, pid, capabilities });
  const hellos = {
    reconnect: hello(0n),
    v1: hello(CAPABILITY.handlePassing),
    direct: hello(CAPABILITY.handlePassing | CAPABILITY.handoffDirect),
  };
  const request = encodeRequest({ payloadProtocol: protocol, payload, requestId: 1n });
  const pipelined = Buffer.concat([hellos.direct, request]);
  const { backendPipe } = check(brokerAddress, hellos.reconnect);
  const backendAddress = socketAddress(backendPipe);

  const routes = {
    connect() {
      const fd = dial(backendAddress);
      sendAll(fd, request);
      return finish(fd);
    },
    reconnect() {
      const first = dial(brokerAddress);
      sendAll(first, hellos.reconnect);
      readFrame(first);
      close(first);
      const fd = dial(backendAddress);
      sendAll(fd, request);
      return finish(fd);
    },
    v1() {
      const fd = dial(brokerAddress);
      sendAll(fd, hellos.v1);
      readFrame(fd);
      readFrame(fd);
      sendAll(fd, request);
      return finish(fd);
    },
    direct() {
      const fd = dial(brokerAddress);
      sendAll(fd, pipelined);
      readFrame(fd);
      return finish(fd);
    },
  };
  checkAnswers(routes, payload);
  checkHandoffs(brokerAddress, hellos);
  return routes;
}

/** The frame with the backend's answer; the connection is closed. */
function finish(fd) {
  const answer = readFrame(fd);
  close(fd);
  return answer;
}

// ------------------------------------------------------------------------------------------------ before measuring

function encodeHello({ service, version, pid, capabilities }) {
  const payload = encodeMessage(HelloSchema, {
    clientMinProtocol: 1,
    clientMaxProtocol: 1,
    serviceName: service,
    wantedVersion: version,
    clientCapabilities: capabilities,
    requestId: "hello",
    peerPid: pid,
    clientLibName: "lean",
    clientLibVersion: "1",
  });
  return encodeRequest({ payloadProtocol: PAYLOAD_PROTOCOL.control, payload, requestId: 1n });
}

function check(address, hello) {
  const fd = dial(address);
  sendAll(fd, hello);
  const negotiated = readNegotiated(fd);
  close(fd);
  return negotiated;
}

function readNegotiated(fd) {
  const { result } = decodeMessage(HelloReplySchema, decodeFrame(readFrame(fd)).payload);
  if (result.case !== "negotiated") throw new Error(`the broker refused: ${result.value?.reason}`);
  return result.value;
}

function checkAnswers(routes, payload) {
  for (const [name, use] of Object.entries(routes)) {
    const { payload: answer } = decodeFrame(use());
    if (Buffer.compare(answer, payload) !== 0) throw new Error(`route ${name} brought another answer than expected`);
  }
}

/** That the broker hands over when it is asked to, and only then. */
function checkHandoffs(address, hellos) {
  for (const [route, expected] of [
    ["reconnect", 0n],
    ["v1", CAPABILITY.handlePassing],
    ["direct", CAPABILITY.handlePassing | CAPABILITY.handoffDirect],
  ]) {
    const fd = dial(address);
    sendAll(fd, hellos[route]);
    const { serverCapabilities, handlePassedToken } = readNegotiated(fd);
    if (serverCapabilities !== expected) throw new Error(`route ${route}: the broker agreed to ${serverCapabilities}`);
    if (route === "v1" && readReadyEvent(decodeFrame(readFrame(fd)), handlePassedToken) !== "ready")
      throw new Error("route v1: no ready event");
    close(fd);
  }
}

// ------------------------------------------------------------------------------------------------ the system

function socketAddress(path) {
  const bytes = Buffer.from(path);
  const address = Buffer.alloc(2 + bytes.length + 1);
  address.writeUInt16LE(AF_UNIX, 0);
  bytes.copy(address, 2);
  return address;
}

function dial(address) {
  const fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, address, address.length) !== 0) throw failed("connect");
  filled = 0;
  taken = 0;
  return fd;
}

function sendAll(fd, bytes) {
  // A message of this size fits into an empty socket whole.
  if (Number(send(fd, bytes, bytes.length, MSG_NOSIGNAL)) !== bytes.length) throw failed("send");
}

/** The body of the next frame, good until the next connection. Takes everything that is there in one call. */
function readFrame(fd) {
  while (filled - taken < HEADER_BYTES) receiveMore(fd);
  const end = taken + HEADER_BYTES + buffer.readUInt32LE(taken + 1);
  while (filled < end) receiveMore(fd);
  const body = buffer.subarray(taken + HEADER_BYTES, end);
  taken = end;
  return body;
}

function receiveMore(fd) {
  const got = Number(recv(fd, filled === 0 ? buffer : buffer.subarray(filled), buffer.length - filled, 0));
  if (got === 0) throw new Error("the connection ended before the answer");
  if (got < 0) throw failed("recv");
  filled += got;
}

function failed(call) {
  return new Error(`${call} failed with errno ${koffi.errno()}`);
}
