// One Hello: connect, Hello, Negotiated, close, by a blocking client; the broker against servers that do the same bytes.
import { measureIn } from "../frame/children.mjs";
import { PLACEMENTS } from "../lean/processors.mjs";
import { startHelloFloors } from "../stage/floors.mjs";
import { openWorld, SERVICE, VERSION } from "../stage/world.mjs";

const SERVERS = {
  broker: "broker",
  koffi: "bare koffi server (the floor)",
  blocking: "bare koffi server that blocks",
  thorough: "bare koffi server with a broker's system calls",
  net: "bare net.Server",
};
const placements = Object.keys(PLACEMENTS);

export default {
  name: "hello",
  title: "One Hello of a lean client: connect, Hello, Negotiated, close",
  samples: 10_000,
  smokeSamples: 50,
  rows: placements.flatMap((placement) =>
    Object.entries(SERVERS).map(([id, name]) => ({
      id: `${id}-${placement}`,
      name: `${name}, ${PLACEMENTS[placement]}`,
      unit: "µs",
      ...(id !== "koffi" && { against: `koffi-${placement}` }),
    })),
  ),
  targets: placements.flatMap((placement) => {
    const row = `broker-${placement}`;
    return [
      { row, figure: "p50", of: `koffi-${placement}`, atMost: 1.6 },
      { row, figure: "p99", of: `koffi-${placement}`, atMost: 2.5 },
      { row, figure: "p50", atMost: 200 },
      { row, figure: "p99", atMost: 1000 },
    ];
  }),
  async measure({ samples, smoke }) {
    const world = await openWorld();
    const { paths, bytes, pids } = await startHelloFloors(world);
    const task = {
      samples,
      warmUp: smoke ? 10 : 2000,
      brokers: { broker: [{ endpoint: world.endpoint, service: SERVICE, version: VERSION }] },
      floors: paths,
      bytes,
      servers: [world.pid, ...pids],
    };
    return measureIn("measure-hello.mjs", task, { limitMs: 60_000 + samples * 40 });
  },
};
