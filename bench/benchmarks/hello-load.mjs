// Hellos per second and their latency with several connections at a time. The load comes from one process for one
// connection and from two for more, so that it is the server and not the load that sets the pace; on two cores all
// compete for the same processors, which is the same for every server.
import { createInterface } from "node:readline";
import { program, start } from "../frame/children.mjs";
import { shuffled } from "../frame/interleave.mjs";
import { startHelloFloors } from "../stage/floors.mjs";
import { openWorld, SERVICE, VERSION } from "../stage/world.mjs";

const SERVERS = { broker: "broker", koffi: "bare koffi server", net: "bare net.Server" };
const CONNECTIONS = [1, 8, 64];
const LOADERS = 2;
const SLICE_MS = 200;
const SMOKE_SLICE_MS = 20;

const rowsOf = (what, kind) =>
  CONNECTIONS.flatMap((connections) =>
    Object.entries(SERVERS).map(([server, name]) => ({
      id: `${server}-${connections}-${kind}`,
      name: `${connections} at a time, ${name}, ${what.name}`,
      unit: what.unit,
      ...(what.better && { better: what.better }),
      ...(server !== "koffi" && { against: `koffi-${connections}-${kind}` }),
    })),
  );

export default {
  name: "hello-load",
  title: `Hellos with ${CONNECTIONS.join(", ")} connections at a time, in slices of ${SLICE_MS} ms`,
  samples: 20,
  smokeSamples: 1,
  rows: [
    ...rowsOf({ name: "rate", unit: "Hellos/s", better: "higher" }, "rate"),
    ...rowsOf({ name: "latency", unit: "µs" }, "latency"),
  ],
  targets: [
    { row: "broker-8-rate", figure: "p50", of: "koffi-8-rate", atLeast: 0.5 },
    { row: "broker-64-latency", figure: "p99", of: "koffi-64-latency", atMost: 3 },
  ],
  async measure({ samples, smoke }) {
    const world = await openWorld();
    const { paths, bytes } = await startHelloFloors(world);
    const routes = {
      broker: { path: world.endpoint, service: SERVICE, version: VERSION },
      koffi: { path: paths.koffi },
      net: { path: paths.net },
    };
    const loaders = [];
    for (let each = 0; each < LOADERS; each++) loaders.push(await startLoader({ routes, bytes }));

    const measured = Object.fromEntries(this.rows.map(({ id }) => [id, []]));
    const slices = CONNECTIONS.flatMap((connections) => Object.keys(SERVERS).map((route) => ({ route, connections })));
    const ms = smoke ? SMOKE_SLICE_MS : SLICE_MS;
    // The first round warms up.
    for (let round = 0; round <= samples; round++) {
      for (const { route, connections } of shuffled(slices)) {
        const working = loaders.slice(0, connections);
        const share = connections / working.length;
        const done = await Promise.all(working.map((loader) => loader.run({ route, connections: share, ms })));
        if (round === 0) continue;
        const rate = done.reduce((sum, { hellos, tookMs }) => sum + (hellos / tookMs) * 1000, 0);
        measured[`${route}-${connections}-rate`].push(Math.round(rate));
        for (const { micros } of done)
          for (const each of micros) measured[`${route}-${connections}-latency`].push(each);
      }
    }
    return measured;
  },
};

async function startLoader(task) {
  const { child, ended } = start(process.execPath, [program("load.mjs"), JSON.stringify(task)], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  // A loader that dies takes its stdin along; how it ended is what matters.
  child.stdin.on("error", () => {});
  const nextLine = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`a load process ended with ${(await ended).join(" ")}`);
    return value;
  };
  await nextLine();
  return {
    async run(slice) {
      child.stdin.write(`${JSON.stringify(slice)}\n`);
      return JSON.parse(await nextLine());
    },
  };
}
