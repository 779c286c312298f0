// A Hello as bytes, made before measuring, and what came back, looked at before measuring.
import { decodeMessage, encodeMessage } from "../../dist/wire/codec.js";
import { decodeFrame, encodeRequest } from "../../dist/wire/envelope.js";
import { HelloReplySchema, HelloSchema } from "../../dist/wire/messages.js";
import { PAYLOAD_PROTOCOL } from "../../dist/wire/payload-protocol.js";
import { close, dial, sendAll } from "./libc.mjs";
import { forgetFrames, readFrame } from "./read-frame.mjs";

/** The complete frame. `pid` must be that of the process that sends it. */
export function encodeHello({ service, version, pid, capabilities = 0n }) {
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

/** The Negotiated of a reply's body. */
export function decodeNegotiated(body) {
  const { result } = decodeMessage(HelloReplySchema, decodeFrame(body).payload);
  if (result.case !== "negotiated") throw new Error(`the broker refused: ${result.value?.reason}`);
  return result.value;
}

/** One Hello, which launches the backend when none runs. `replyBytes` is the whole reply, header included. */
export function sayHello(brokerAddress, hello) {
  const fd = dial(brokerAddress);
  forgetFrames();
  sendAll(fd, hello);
  const body = readFrame(fd);
  const negotiated = decodeNegotiated(body);
  close(fd);
  return { negotiated, replyBytes: body.length + 5 };
}
