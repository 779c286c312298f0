// Measures connecting, then requests on connections that stay open; each kind is interleaved by itself.
//
// Task: { samples, warmUp, broker, service, version, protocol, echo, echoPid, root, brokerPid }.
import { once } from "node:events";
import { connect as netConnect } from "node:net";
import { connect, openSession } from "running-process-broker/client";
import { encodeRequest } from "../../dist/wire/envelope.js";
import { interleave } from "../frame/interleave.mjs";
import { createLeanClient } from "../lean/lean-client.mjs";
import { close } from "../lean/libc.mjs";
import { measurePlaced } from "../lean/processors.mjs";
import { processesOf } from "../stage/world.mjs";
import { exchangeOn } from "./net-exchange.mjs";

const { samples, warmUp, echo, echoPid, root, brokerPid, ...target } = JSON.parse(process.argv[2]);
const { broker, service, version, protocol } = target;
const payload = Buffer.alloc(64, "x");
const request = encodeRequest({ payloadProtocol: protocol, payload, requestId: 1n });
const lean = createLeanClient({ ...target, payload, pid: process.pid });
const common = { service, version, broker: { endpoint: broker, autoStart: false } };

const first = await connect(common);
const { endpoint } = first;
await destroyed(first.socket);

const connecting = {
  "connect-skip": { use: () => connectBy("skip", { cachedEndpoint: endpoint }), after: destroyed },
  "lean-connect": { use: lean.reach.connect, after: close },
  "net-connect": { use: netConnected, after: destroyed },
  "connect-negotiated": { use: () => connectBy("negotiated", {}), after: destroyed },
  "lean-negotiated": { use: lean.reach.reconnect, after: close },
  "connect-adopted": { use: () => connectBy("handed-off", { adopt: true }), after: destroyed },
  "lean-adopted": { use: lean.reach.v1, after: close },
  "net-round-trip": {
    async use() {
      const socket = await netConnected();
      await exchangeOn(socket)(request);
      return socket;
    },
    after: destroyed,
  },
};

const adopted = await sessionBy("handed-off", {});
const negotiated = await sessionBy("negotiated", { adopt: false });
const echoSocket = await netConnected();
const echoOnce = exchangeOn(echoSocket);
const leanFd = lean.reach.connect();

const asking = {
  adopted: () => adopted.request(protocol, payload),
  negotiated: () => negotiated.request(protocol, payload),
  net: () => echoOnce(request),
  lean: () => lean.ask(leanFd),
};
const backends = processesOf(root).filter((pid) => pid !== brokerPid && pid !== echoPid);

const report = {
  ...(await interleave(connecting, { samples, warmUp })),
  ...(await measurePlaced([echoPid, ...backends], () => interleave(asking, { samples, warmUp }))),
};
await adopted.close();
await negotiated.close();
echoSocket.destroy();
close(leanFd);
process.stdout.write(JSON.stringify(report));

async function connectBy(route, options) {
  const connected = await connect({ ...common, ...options });
  if (connected.route !== route) throw new Error(`came by ${connected.route} instead of ${route}`);
  return connected.socket;
}

async function sessionBy(route, options) {
  const session = await openSession({ ...common, ...options });
  await session.request(protocol, payload);
  if (session.connection.route !== route) throw new Error(`came by ${session.connection.route} instead of ${route}`);
  return session;
}

function netConnected() {
  return new Promise((resolve, reject) => {
    const socket = netConnect(echo, () => resolve(socket));
    socket.once("error", reject);
  });
}

async function destroyed(socket) {
  const closed = once(socket, "close");
  socket.destroy();
  await closed;
}
