// What the client library costs: connecting by each route, and one request on an open session.
import { measureIn } from "../frame/children.mjs";
import { startEcho } from "../stage/floors.mjs";
import { openWorld, PROTOCOL, SERVICE, VERSION } from "../stage/world.mjs";

export default {
  name: "client",
  title: "connect() of the client library by route, and one request of 64 bytes on an open session",
  samples: 5000,
  smokeSamples: 20,
  rows: [
    { id: "connect-skip", name: "connect(), cached endpoint", unit: "µs", against: "lean-connect" },
    { id: "lean-connect", name: "lean client, connect to the backend", unit: "µs" },
    { id: "net-connect", name: "bare net.connect", unit: "µs", against: "lean-connect" },
    { id: "connect-negotiated", name: "connect(), negotiated", unit: "µs", against: "lean-negotiated" },
    { id: "lean-negotiated", name: "lean client, negotiated", unit: "µs" },
    { id: "connect-adopted", name: "connect(), handed off (v1)", unit: "µs", against: "lean-adopted" },
    { id: "lean-adopted", name: "lean client, handed off (v1)", unit: "µs" },
    { id: "net-round-trip", name: "bare net.connect and one round trip", unit: "µs", against: "connect-negotiated" },
    { id: "request-adopted", name: "request, adopted session", unit: "µs", against: "net-echo" },
    { id: "request-negotiated", name: "request, negotiated session", unit: "µs", against: "net-echo" },
    { id: "net-echo", name: "bare net.Socket echo", unit: "µs" },
    { id: "lean-request", name: "request of a lean client", unit: "µs", against: "net-echo" },
  ],
  targets: [
    { row: "connect-negotiated", figure: "p50", of: "lean-negotiated", atMost: 2.5 },
    { row: "request-adopted", figure: "p50", of: "net-echo", atMost: 1.3 },
    { row: "request-negotiated", figure: "p50", of: "net-echo", atMost: 1.3 },
  ],
  async measure({ samples, smoke }) {
    const world = await openWorld();
    const echo = await startEcho(world);
    const task = {
      samples,
      warmUp: smoke ? 10 : 2000,
      broker: world.endpoint,
      service: SERVICE,
      version: VERSION,
      protocol: PROTOCOL,
      echo,
    };
    return measureIn("measure-client.mjs", task, { env: world.env, limitMs: 60_000 + samples * 50 });
  },
};
