// The four routes through the client library, as a tool would use it: reach the backend, one request, done.
import { once } from "node:events";
import { connect, openSession } from "running-process-broker/client";
import { encodeRequest } from "../../dist/wire/envelope.js";
import { createFrameDecoder } from "../../dist/wire/frame-decoder.js";

export async function createLibraryClient({ broker, service, version, protocol, payload }) {
  const common = { service, version, broker: { endpoint: broker, autoStart: false } };
  const firstRequest = { protocol, payload, idempotent: true };
  // A raw socket is the caller's to speak on: what a session does for the others is done by hand here.
  const request = encodeRequest({ payloadProtocol: protocol, payload, requestId: 1n });
  const found = await connect(common);
  found.socket.destroy();

  return {
    connect: () => useSession({ ...common, firstRequest, cachedEndpoint: found.endpoint }, "skip"),
    reconnect: () => useSession({ ...common, firstRequest, adopt: false }, "negotiated"),
    async v1() {
      const { route, direct, socket } = await connect({ ...common, adopt: true });
      if (route !== "handed-off" || direct) throw new Error(`came by ${route} instead of a v1 handoff`);
      socket.write(request);
      const decoder = createFrameDecoder();
      const answer = await new Promise((resolve, reject) => {
        socket.on("data", (chunk) => {
          decoder.push(chunk);
          const body = decoder.next();
          if (body !== undefined) resolve(body);
        });
        socket.once("error", reject);
        socket.once("end", () => reject(new Error("the connection ended before the answer")));
      });
      const closed = once(socket, "close");
      socket.destroy();
      await closed;
      return answer;
    },
    direct: () => useSession({ ...common, firstRequest }, "handed-off"),
  };
}

async function useSession(options, route) {
  const session = await openSession(options);
  if (session.connection.route !== route) throw new Error(`came by ${session.connection.route} instead of ${route}`);
  const answer = await session.firstResponse;
  await session.close();
  return answer;
}
