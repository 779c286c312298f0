// Many cold clients at once, nothing running: how long until the last has its answer and has ended, and what was started
// for them. A hundred are a hundred processes; five hundred are a hundred processes with five clients each, because five
// hundred would measure the machine's memory. A hundred in one process show what the broker does about a herd when the
// start of a hundred Nodes is left out.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { program, start } from "../frame/children.mjs";
import { shuffled, tenths } from "../frame/interleave.mjs";
import { openPlace, plainEnvironment, SERVICE, VERSION } from "../stage/world.mjs";

const HERDS = {
  1: { processes: 1, clients: 1 },
  100: { processes: 100, clients: 1 },
  500: { processes: 100, clients: 5 },
  "100-one": { processes: 1, clients: 100 },
};
const SMOKE_PROCESSES = 4;

export default {
  name: "herd",
  title: "Cold clients at once, nothing running, until all have their answer and have ended",
  samples: 3,
  smokeSamples: 1,
  rows: [
    { id: "1", name: "one cold client", unit: "ms" },
    { id: "100", name: "100 cold clients", unit: "ms", against: "1" },
    { id: "500", name: "500 cold clients in 100 processes", unit: "ms", against: "1" },
    { id: "100-one", name: "100 cold clients in one process", unit: "ms", against: "1" },
    { id: "node", name: "100 times node -e 0 at once", unit: "ms", against: "1" },
    { id: "1-started", name: "started for one", unit: "processes" },
    { id: "100-started", name: "started for 100", unit: "processes" },
    { id: "500-started", name: "started for 500", unit: "processes" },
    { id: "100-one-started", name: "started for 100 in one process", unit: "processes" },
  ],
  targets: [
    { row: "100", figure: "p50", of: "1", atMost: 8 },
    { row: "100-started", figure: "p99", atMost: 2 },
    { row: "500-started", figure: "p99", atMost: 2 },
  ],
  async measure({ samples, smoke }) {
    const measured = Object.fromEntries(this.rows.map(({ id }) => [id, []]));
    const size = (processes) => (smoke ? Math.min(processes, SMOKE_PROCESSES) : processes);
    for (let round = 0; round < samples; round++) {
      for (const id of shuffled(["node", ...Object.keys(HERDS)])) {
        if (id === "node") {
          measured.node.push(await timeAll(size(100), () => ["-e", "0"], plainEnvironment()));
          continue;
        }
        const { processes, clients } = HERDS[id];
        const place = await openPlace();
        const env = { ...place.env, BENCH_COUNT: join(place.root, "count") };
        const startCommand = { file: process.execPath, args: [program("counted-rpb.mjs")] };
        const task = JSON.stringify({ service: SERVICE, version: VERSION, clients, broker: { startCommand } });
        measured[id].push(await timeAll(size(processes), () => [program("cold-client.mjs"), task], env));
        measured[`${id}-started`].push(readFileSync(env.BENCH_COUNT, "utf8").trim().split("\n").length);
        await place.close();
      }
    }
    return measured;
  },
};

/** Milliseconds from the first spawn to the last exit. */
async function timeAll(count, args, env) {
  const startedAt = performance.now();
  const all = Array.from({ length: count }, () =>
    start(process.execPath, args(), { env, stdio: ["ignore", "ignore", "inherit"] }),
  );
  const ends = await Promise.all(all.map(({ ended }) => ended));
  const took = performance.now() - startedAt;
  const failed = ends.filter(([status]) => status !== 0).length;
  if (failed > 0) throw new Error(`${failed} of ${count} clients failed`);
  return tenths(took);
}
