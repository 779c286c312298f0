// A client as small as one can be: blocking calls of the C library, no event loop, messages encoded beforehand. It
// stands for clients in other languages, and shows what the broker and the backend cost without the client library.
//
// What it saves on purpose, on every route alike: the reply's content is only looked at in `check…`, before measuring.
import { CAPABILITY } from "../../dist/wire/capabilities.js";
import { decodeFrame, encodeRequest } from "../../dist/wire/envelope.js";
import { readReadyEvent } from "../../dist/wire/handoff.js";
import { decodeNegotiated, encodeHello, sayHello } from "./hello.mjs";
import { close, dial as connectTo, sendAll, socketAddress } from "./libc.mjs";
import { forgetFrames, readFrame } from "./read-frame.mjs";

/**
 * The routes from nothing to the answer to one request (`use`), those to a connected backend (`reach`, which return the
 * descriptor), and one request on a connection that is open. `nodeSend`: address of a server that passes connections
 * on with Node's own means.
 */
export function createLeanClient({ broker, service, version, protocol, payload, pid, nodeSend }) {
  const brokerAddress = socketAddress(broker);
  const hello = (capabilities) => encodeHello({ service, version, pid, capabilities });
  const hellos = {
    reconnect: hello(0n),
    v1: hello(CAPABILITY.handlePassing),
    direct: hello(CAPABILITY.handlePassing | CAPABILITY.handoffDirect),
  };
  const request = encodeRequest({ payloadProtocol: protocol, payload, requestId: 1n });
  const pipelined = Buffer.concat([hellos.direct, request]);
  const { negotiated } = sayHello(brokerAddress, hellos.reconnect);
  const backendAddress = socketAddress(negotiated.backendPipe);

  const reach = {
    connect: () => dial(backendAddress),
    reconnect() {
      const fd = dial(brokerAddress);
      sendAll(fd, hellos.reconnect);
      readFrame(fd);
      close(fd);
      return dial(backendAddress);
    },
    v1() {
      const fd = dial(brokerAddress);
      sendAll(fd, hellos.v1);
      readFrame(fd);
      readFrame(fd);
      return fd;
    },
  };
  const ask = (fd) => {
    sendAll(fd, request);
    return readFrame(fd);
  };
  const use = {
    connect: () => finish(reach.connect(), ask),
    reconnect: () => finish(reach.reconnect(), ask),
    v1: () => finish(reach.v1(), ask),
    direct() {
      const fd = dial(brokerAddress);
      sendAll(fd, pipelined);
      readFrame(fd);
      return finish(fd, readFrame);
    },
  };
  if (nodeSend !== undefined) {
    const address = socketAddress(nodeSend);
    use.nodeSend = () => finish(dial(address), ask);
  }
  checkAnswers(use, payload);
  checkHandoffs(brokerAddress, hellos);
  return { use, reach, ask };
}

function dial(address) {
  forgetFrames();
  return connectTo(address);
}

/** The frame with the backend's answer; the connection is closed. */
function finish(fd, answerOf) {
  const answer = answerOf(fd);
  close(fd);
  return answer;
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
    const { serverCapabilities, handlePassedToken } = decodeNegotiated(readFrame(fd));
    if (serverCapabilities !== expected) throw new Error(`route ${route}: the broker agreed to ${serverCapabilities}`);
    if (route === "v1" && readReadyEvent(decodeFrame(readFrame(fd)), handlePassedToken) !== "ready")
      throw new Error("route v1: no ready event");
    close(fd);
  }
}
