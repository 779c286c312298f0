// A broker at rest: the memory it holds, and that it sleeps. A process that wakes up has to go to sleep again, and the
// kernel counts that for each of its threads (voluntary_ctxt_switches in /proc/PID/task/TID/status).
import { readdirSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { start } from "../frame/children.mjs";
import { helloBytes } from "../stage/floors.mjs";
import { residentMb } from "../stage/memory.mjs";
import { openWorld, readProc } from "../stage/world.mjs";

const WINDOW_MS = 5_000;
const SMOKE_WINDOW_MS = 200;
/** For what a process still tidies up after its start: collections that V8 puts off until nothing happens. */
const SETTLE_MS = 15_000;
const SMOKE_SETTLE_MS = 100;

export default {
  name: "idle",
  title: `A process at rest: memory, and times that one of its threads woke up in ${WINDOW_MS / 1000} s`,
  samples: 3,
  smokeSamples: 1,
  rows: [
    { id: "memory-broker", name: "memory, broker just started", unit: "MB", against: "memory-node" },
    { id: "memory-used", name: "memory, broker with a backend", unit: "MB", against: "memory-node" },
    { id: "memory-node", name: "memory, bare node", unit: "MB" },
    { id: "wakes-broker", name: "wake-ups, broker just started", unit: "times" },
    { id: "wakes-used", name: "wake-ups, broker with a backend", unit: "times" },
    { id: "wakes-node", name: "wake-ups, bare node", unit: "times" },
  ],
  targets: [
    { row: "memory-broker", figure: "p50", of: "memory-node", atMost: 1.6 },
    { row: "wakes-broker", figure: "p50", atMost: 0 },
    { row: "wakes-used", figure: "p50", atMost: 0 },
  ],
  async measure({ samples, smoke }) {
    const fresh = await openWorld();
    const used = await openWorld();
    helloBytes(used.endpoint);
    const node = start(process.execPath, ["-e", "setInterval(() => {}, 1e9)"]);
    const pids = { broker: fresh.pid, used: used.pid, node: node.pid };
    await sleep(smoke ? SMOKE_SETTLE_MS : SETTLE_MS);

    const measured = Object.fromEntries(this.rows.map(({ id }) => [id, []]));
    for (let round = 0; round < samples; round++) {
      const before = Object.entries(pids).map(([id, pid]) => ({ id, pid, sleeps: sleepsOf(pid) }));
      await sleep(smoke ? SMOKE_WINDOW_MS : WINDOW_MS);
      for (const { id, pid, sleeps } of before) {
        measured[`wakes-${id}`].push(sleepsOf(pid) - sleeps);
        measured[`memory-${id}`].push(residentMb(pid));
      }
    }
    return measured;
  },
};

/** How often its threads have gone to sleep so far. */
function sleepsOf(pid) {
  let sum = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const [, count] = /^voluntary_ctxt_switches:\s+(\d+)$/m.exec(readProc(pid, `task/${thread}/status`)) ?? [];
    sum += Number(count ?? 0);
  }
  return sum;
}
