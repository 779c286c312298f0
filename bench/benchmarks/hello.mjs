// One Hello: connect, Hello, Negotiated, close, by a blocking client; the broker against servers that do the same bytes.
import { measureIn } from "../frame/children.mjs";
import { startHelloFloors } from "../stage/floors.mjs";
import { openWorld, SERVICE, VERSION } from "../stage/world.mjs";

export default {
  name: "hello",
  title: "One Hello of a lean client: connect, Hello, Negotiated, close",
  samples: 10_000,
  smokeSamples: 50,
  rows: [
    { id: "broker", name: "broker", unit: "µs", against: "koffi" },
    { id: "koffi", name: "bare koffi server (the floor)", unit: "µs" },
    { id: "blocking", name: "bare koffi server that blocks", unit: "µs", against: "koffi" },
    { id: "net", name: "bare net.Server", unit: "µs", against: "koffi" },
  ],
  targets: [
    { row: "broker", figure: "p50", of: "koffi", atMost: 1.6 },
    { row: "broker", figure: "p99", of: "koffi", atMost: 2.5 },
    { row: "broker", figure: "p50", atMost: 200 },
    { row: "broker", figure: "p99", atMost: 1000 },
  ],
  async measure({ samples, smoke }) {
    const world = await openWorld();
    const { paths, bytes } = await startHelloFloors(world);
    const task = {
      samples,
      warmUp: smoke ? 10 : 2000,
      brokers: { broker: [{ endpoint: world.endpoint, service: SERVICE, version: VERSION }] },
      floors: paths,
      bytes,
    };
    return measureIn("measure-hello.mjs", task, { limitMs: 60_000 + samples * 20 });
  },
};
