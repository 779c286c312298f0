// What the client library costs: connecting by each route, and one request on an open session.
import { measureIn } from "../frame/children.mjs";
import { PLACEMENTS } from "../lean/processors.mjs";
import { startEcho } from "../stage/floors.mjs";
import { openWorld, PROTOCOL, SERVICE, VERSION } from "../stage/world.mjs";

const REQUESTS = {
  adopted: "request, adopted session",
  negotiated: "request, negotiated session",
  net: "bare net.Socket echo",
  lean: "request of a lean client",
};

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
    ...Object.entries(PLACEMENTS).flatMap(([placement, where]) =>
      Object.entries(REQUESTS).map(([way, name]) => ({
        id: `${way}-${placement}`,
        name: `${name}, ${where}`,
        unit: "µs",
        ...(way !== "net" && { against: `net-${placement}` }),
      })),
    ),
  ],
  targets: [
    { row: "connect-negotiated", figure: "p50", of: "lean-negotiated", atMost: 2.5 },
    ...Object.keys(PLACEMENTS).flatMap((placement) =>
      ["adopted", "negotiated"].map((way) => ({
        row: `${way}-${placement}`,
        figure: "p50",
        of: `net-${placement}`,
        atMost: 1.3,
      })),
    ),
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
      echo: echo.path,
      echoPid: echo.pid,
      root: world.root,
      brokerPid: world.pid,
    };
    return measureIn("measure-client.mjs", task, { env: world.env, limitMs: 60_000 + samples * 50 });
  },
};
