// How long one use of a backend takes, by route: from nothing to the answer to one request. Three processes: the broker,
// the backend it launched, the measuring client. Beside them Node's own way to pass a connection on.
import { measureIn } from "../frame/children.mjs";
import { startNodeSend } from "../stage/floors.mjs";
import { openWorld, PROTOCOL, SERVICE, VERSION } from "../stage/world.mjs";

const CLIENTS = { lean: "lean client", library: "library" };
const ROUTES = {
  connect: "direct connect to the backend",
  reconnect: "Hello, then reconnect",
  v1: "v1 handoff, ready event",
  direct: "direct handoff",
};

const rows = Object.entries(CLIENTS).flatMap(([client, clientName]) =>
  Object.entries(ROUTES).map(([route, name]) => ({
    id: `${client}-${route}`,
    name: `${clientName}: ${name}`,
    unit: "µs",
    ...(route !== "reconnect" && { against: `${client}-reconnect` }),
  })),
);

export default {
  name: "handoff",
  title: "One use of a backend, from nothing to the answer to one request, by route",
  samples: 5000,
  smokeSamples: 20,
  rows: [...rows, { id: "lean-nodeSend", name: "lean client: subprocess.send", unit: "µs", against: "lean-reconnect" }],
  targets: [
    { row: "lean-direct", figure: "p50", of: "lean-reconnect", atMost: 0.75 },
    { row: "lean-direct", figure: "p99", of: "lean-reconnect", atMost: 0.9 },
    { row: "lean-v1", figure: "p50", of: "lean-reconnect", atMost: 1.4 },
    { row: "library-direct", figure: "p50", of: "library-reconnect", below: 1 },
    { row: "library-direct", figure: "p99", of: "library-reconnect", below: 1 },
  ],
  async measure({ samples, smoke }) {
    const world = await openWorld();
    const nodeSend = await startNodeSend(world);
    const task = {
      samples,
      warmUp: smoke ? 10 : 2000,
      broker: world.endpoint,
      service: SERVICE,
      version: VERSION,
      protocol: PROTOCOL,
      nodeSend,
    };
    return measureIn("measure-handoff.mjs", task, { env: world.env, limitMs: 60_000 + samples * 50 });
  },
};
