// Measures bursts of requests, each kind of work interleaved by itself: what a burst of each kind of work takes, in microseconds.
//
// Task: { samples, warmUp, work: { id: { bytes, atOnce, times } }, broker, service, version, protocol, echo }.
import { once } from "node:events";
import { connect as netConnect } from "node:net";
import { openSession } from "running-process-broker/client";
import { encodeRequest } from "../../dist/wire/envelope.js";
import { interleave } from "../frame/interleave.mjs";
import { exchangeOn } from "./net-exchange.mjs";

const { samples, warmUp, work, broker, service, version, protocol, echo } = JSON.parse(process.argv[2]);
const common = { service, version, broker: { endpoint: broker, autoStart: false } };

const adopted = await openSession(common);
await adopted.request(protocol, Buffer.from("there"));
const named = await openSession({ ...common, adopt: false });
const direct = await openSession({ ...common, cachedEndpoint: named.connection.endpoint });
await named.close();
for (const [session, route] of [
  [adopted, "handed-off"],
  [direct, "skip"],
])
  if (session.connection.route !== route) throw new Error(`came by ${session.connection.route} instead of ${route}`);
const socket = netConnect(echo);
await once(socket, "connect");
const exchange = exchangeOn(socket);

const report = {};
for (const [id, { bytes, atOnce, times }] of Object.entries(work)) {
  const payload = Buffer.alloc(bytes, "x");
  const frame = encodeRequest({ payloadProtocol: protocol, payload, requestId: 1n });
  const onSession = (session) => async () => {
    for (let burst = 0; burst < times; burst++) {
      if (atOnce === 1) await session.request(protocol, payload);
      else await Promise.all(Array.from({ length: atOnce }, () => session.request(protocol, payload)));
    }
  };
  const contenders = {
    [`${id}-adopted`]: onSession(adopted),
    [`${id}-direct`]: onSession(direct),
    [`${id}-net`]: async () => {
      for (let burst = 0; burst < times; burst++) await exchange(frame, atOnce);
    },
  };
  Object.assign(report, await interleave(contenders, { samples, warmUp }));
}
await adopted.close();
await direct.close();
socket.destroy();
process.stdout.write(JSON.stringify(report));
