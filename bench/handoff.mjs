// How long one use of a backend takes, by route: from nothing to the answer to one request. Three processes: the broker,
// the backend it launched, the measuring client. What is compared comes from one interleaved run.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpus, release } from "node:os";
import { fileURLToPath } from "node:url";
import { summarize } from "./statistics.mjs";
import { openWorld, SERVICE, VERSION } from "./world.mjs";

const ROUTES = {
  connect: "direct connect to the backend",
  reconnect: "Hello, then reconnect",
  v1: "v1 handoff, ready event",
  direct: "direct handoff",
};

/** Highest ratio of direct handoff to reconnect that is good enough. */
const TARGETS = { lean: { p50: 0.75, p99: 0.9 }, library: { p50: 1, p99: 1 } };

const measurer = fileURLToPath(new URL("./measure-handoff.mjs", import.meta.url));
const MS_PER_SAMPLE_LIMIT = 50;
const START_LIMIT_MS = 60_000;

/** Exit status. */
export async function run({ samples, json }) {
  const world = await openWorld();
  let report;
  try {
    report = judge(await measure(world, samples), samples);
  } finally {
    await world.close();
  }
  console.log(json ? JSON.stringify(report) : renderTable(report));
  return report.targetsMet ? 0 : 1;
}

async function measure({ env, endpoint }, samples) {
  const task = JSON.stringify({ broker: endpoint, service: SERVICE, version: VERSION, samples });
  const child = spawn(process.execPath, [measurer, task], { env, stdio: ["ignore", "pipe", "inherit"] });
  // A blocking client cannot keep a time limit of its own.
  const timer = setTimeout(() => child.kill("SIGKILL"), START_LIMIT_MS + samples * MS_PER_SAMPLE_LIMIT);
  const ended = once(child, "close");
  const chunks = [];
  child.stdout.on("data", (chunk) => chunks.push(chunk));
  const [status, signal] = await ended;
  clearTimeout(timer);
  if (status !== 0) throw new Error(`the measuring process ended with ${signal ?? `status ${status}`}`);
  return JSON.parse(Buffer.concat(chunks).toString());
}

function judge(measured, samples) {
  const clients = {};
  for (const [client, routes] of Object.entries(measured)) {
    const rows = Object.fromEntries(Object.keys(ROUTES).map((route) => [route, summarize(routes[route])]));
    const ratio = { p50: rows.direct.p50 / rows.reconnect.p50, p99: rows.direct.p99 / rows.reconnect.p99 };
    const target = TARGETS[client];
    const met = client === "lean" ? ratio.p50 <= target.p50 && ratio.p99 <= target.p99 : ratio.p50 < 1 && ratio.p99 < 1;
    clients[client] = { routes: rows, directToReconnect: ratio, target, met };
  }
  return {
    machine: {
      cpu: cpus()[0]?.model.trim() || process.arch,
      cores: cpus().length,
      kernel: release(),
      node: process.version,
    },
    samples,
    unit: "microseconds",
    clients,
    targetsMet: Object.values(clients).every(({ met }) => met),
  };
}

function renderTable({ machine, samples, clients }) {
  const lines = [
    `${machine.cpu}, ${machine.cores} cores, Linux ${machine.kernel}, Node ${machine.node}`,
    `${samples} interleaved samples a route, microseconds, ratios to reconnect`,
  ];
  for (const client of ["lean", "library"]) {
    const { routes, directToReconnect, target, met } = clients[client];
    lines.push(
      "",
      `${client} client`.padEnd(32) + ["P50", "P99", "P50", "P99"].map((text) => text.padStart(9)).join(""),
    );
    for (const [route, name] of Object.entries(ROUTES)) {
      const { p50, p99 } = routes[route];
      const ratios = [p50 / routes.reconnect.p50, p99 / routes.reconnect.p99];
      const cells = [p50.toFixed(0), p99.toFixed(0), ...ratios.map((ratio) => `x ${ratio.toFixed(2)}`)];
      lines.push(`  ${name.padEnd(30)}${cells.map((cell) => cell.padStart(9)).join("")}`);
    }
    const limit = client === "lean" ? (share) => `at most ${target[share]}` : () => "below 1";
    const verdicts = ["p50", "p99"].map(
      (share) => `${directToReconnect[share].toFixed(2)} at ${share.toUpperCase()} (${limit(share)})`,
    );
    lines.push(`  direct handoff to reconnect: ${verdicts.join(", ")}: ${met ? "met" : "MISSED"}`);
  }
  return lines.join("\n");
}
