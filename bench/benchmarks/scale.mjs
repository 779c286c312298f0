// What grows with the number of registered services, of live backends and of idle connections: the latency of a Hello
// and the broker's memory. Five brokers side by side, measured in turns.
import { copyFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { measureIn, startServer } from "../frame/children.mjs";
import { residentKb, residentMb } from "../stage/memory.mjs";
import { openWorld, VERSION } from "../stage/world.mjs";

const WORLDS = {
  10: { name: "10 services", services: 10, live: 10, connections: 0 },
  100: { name: "100 services, 10 of them running", services: 100, live: 10, connections: 0 },
  1000: { name: "1000 services, 10 of them running", services: 1000, live: 10, connections: 0 },
  live: { name: "500 services, all of them running", services: 500, live: 500, connections: 0 },
  idle: { name: "10 services, 5000 idle connections", services: 10, live: 10, connections: 5000 },
};
/** Smoke: everything is a fiftieth. */
const SMOKE_DIVISOR = 50;
/** A connection that says nothing is closed after half a minute unless the broker is told otherwise. */
const PATIENT = { RUNNING_PROCESS_BROKER_HELLO_TIMEOUT_MS: "600000" };
const SETTLE_MS = 2_000;
const SMOKE_SETTLE_MS = 50;

const rows = (prefix, unit) =>
  Object.entries(WORLDS).map(([id, { name }]) => ({
    id: `${prefix}-${id}`,
    name: `${prefix === "hello" ? "Hello" : "memory"}, ${name}`,
    unit,
    ...(id !== "10" && { against: `${prefix}-10` }),
  }));

export default {
  name: "scale",
  title:
    "A lean client's Hello, and the broker's memory after these Hellos, by number of services, backends, connections",
  samples: 3000,
  smokeSamples: 20,
  rows: [
    ...rows("hello", "µs"),
    ...rows("memory", "MB"),
    { id: "connection", name: "memory of one idle connection", unit: "KiB" },
  ],
  targets: [
    { row: "hello-1000", figure: "p50", of: "hello-10", below: 1.1 },
    { row: "memory-1000", figure: "p50", of: "memory-10", below: 1.1 },
    { row: "connection", figure: "p50", below: 4 },
  ],
  async measure({ samples, smoke }) {
    const worlds = {};
    for (const [id, size] of Object.entries(WORLDS)) worlds[id] = await openScaledWorld(smoke ? shrunk(size) : size);
    const warmUp = smoke ? 5 : 1000;
    const brokers = Object.fromEntries(Object.entries(worlds).map(([id, { targets }]) => [id, targets]));
    const task = { samples: warmUp, warmUp, brokers, floors: {}, bytes: {} };
    // Launches the backends and brings every broker to the size that Hellos alone give it.
    await measureIn("measure-hello.mjs", task, { limitMs: 300_000 });
    await sleep(smoke ? SMOKE_SETTLE_MS : SETTLE_MS);
    const perConnection = await hold(worlds.idle);
    const hellos = await measureIn("measure-hello.mjs", { ...task, samples }, { limitMs: 60_000 + samples * 50 });
    await sleep(smoke ? SMOKE_SETTLE_MS : SETTLE_MS);

    const measured = { connection: [perConnection] };
    for (const id of Object.keys(WORLDS)) {
      measured[`hello-${id}`] = hellos[id];
      measured[`memory-${id}`] = [residentMb(worlds[id].pid)];
    }
    return measured;
  },
};

function shrunk(size) {
  const part = (count) => Math.ceil(count / SMOKE_DIVISOR);
  return { ...size, services: part(size.services), live: part(size.live), connections: part(size.connections) };
}

async function openScaledWorld({ services: count, live, connections }) {
  const names = Array.from({ length: count }, (_, i) => `service-${i}`);
  const world = await openWorld({
    env: connections > 0 ? PATIENT : {},
    prepare({ root, services }) {
      // Nothing of ours is in the backend, so that hundreds of them are cheap; it takes its listener and never looks at it.
      const binary = join(root, "sleep");
      copyFileSync("/bin/sleep", binary);
      for (const name of names) services.add({ name, binary, exec: { args: ["3600"], ready: "listen" } });
    },
  });
  const targets = names.slice(0, live).map((service) => ({ endpoint: world.endpoint, service, version: VERSION }));
  return { ...world, connections, targets };
}

/** KiB of the broker's memory that each connection takes which is open and says nothing. */
async function hold({ endpoint, pid, connections }) {
  const before = { kb: residentKb(pid), descriptors: descriptorsOf(pid) };
  await startServer("hold-connections.mjs", { path: endpoint, connections });
  while (descriptorsOf(pid) < before.descriptors + connections) await sleep(20);
  await sleep(200);
  return (residentKb(pid) - before.kb) / connections;
}

function descriptorsOf(pid) {
  return readdirSync(`/proc/${pid}/fd`).length;
}
