// HEALTHZ as any client asks it: one connection, one frame, one reply.
import { connect } from "node:net";
import { encodeMessage } from "../../dist/wire/codec.js";
import { encodeRequest } from "../../dist/wire/envelope.js";
import { AdminRequestSchema, AdminVerb } from "../../dist/wire/messages.js";
import { PAYLOAD_PROTOCOL } from "../../dist/wire/payload-protocol.js";

/** The complete frame. */
export const HEALTHZ = encodeRequest({
  payloadProtocol: PAYLOAD_PROTOCOL.admin,
  payload: encodeMessage(AdminRequestSchema, { verb: AdminVerb.HEALTHZ }),
  requestId: 1n,
});

/** Milliseconds from connecting to the first bytes of a reply to `bytes`. Rejects when there is none. */
export function timeReply(path, bytes) {
  const begin = performance.now();
  return new Promise((resolve, reject) => {
    const socket = connect(path, () => socket.write(bytes));
    socket.once("data", () => {
      resolve(performance.now() - begin);
      socket.destroy();
    });
    socket.once("error", reject).once("close", () => reject(new Error(`${path} closed without a reply`)));
  });
}
