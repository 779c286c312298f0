// Does a broker's memory stay where it is? Looks at it after the first 1000 Hellos and again after many more and many
// launches, both times at rest: a broker collects two to four seconds after the last that happened. Each launch is a
// version of its own, whose backend is killed as soon as it runs.
//
//   npm run soak -- [--hellos 100000] [--launches 1000] [--limit-mb 10] [--rest 6]
//
// A short run (--hellos 5000 --launches 100) takes 15 to 20 seconds; a leak of 80 KB a launch or 2 KB a Hello fails it.
// --rest: seconds without work before each look; below 5 what has not been collected yet counts as well. The first 1000
// Hellos launch one backend; no launch is taken out of the count to warm up.
//
// Exit 0 within the limit, 1 above it, when descriptors are left open, or when a Hello was refused.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { openServices } from "running-process-broker";
import { encodeMessage } from "../../dist/wire/codec.js";
import { encodeRequest } from "../../dist/wire/envelope.js";
import { HelloSchema } from "../../dist/wire/messages.js";

const FIRST_HELLOS = 1_000;
const CONCURRENT = 16;
/** Backends that run at one time, besides the one that Hellos ask for. */
const LAUNCH_BATCH = 20;
const SERVICE = "sleeps";
const rpb = fileURLToPath(new URL("../../dist/cli/rpb.cjs", import.meta.url));
const { values } = parseArgs({
  options: {
    hellos: { type: "string", default: "100000" },
    launches: { type: "string", default: "1000" },
    "limit-mb": { type: "string", default: "10" },
    rest: { type: "string", default: "6" },
  },
});
const [hellosWanted, launchesWanted, limitMb, restSeconds] = [
  values.hellos,
  values.launches,
  values["limit-mb"],
  values.rest,
].map(Number);

// Short: socket paths below it must fit into the kernel's 107 bytes.
const root = mkdtempSync("/tmp/rpb-");
const env = {
  ...process.env,
  XDG_RUNTIME_DIR: root,
  XDG_CONFIG_HOME: join(root, "config"),
  XDG_STATE_HOME: join(root, "state"),
};
for (const name of Object.keys(env)) if (name.startsWith("RUNNING_PROCESS_")) delete env[name];
if (process.geteuid?.() === 0) env.RUNNING_PROCESS_BROKER_ALLOW_PRIVILEGED = "1";
const socket = join(root, "b.sock");

// Nothing of ours is in the backend, so that launches are cheap; it takes its listener and never looks at it.
const binary = join(root, "sleep");
copyFileSync("/bin/sleep", binary);
(await openServices({ env })).add({ name: SERVICE, binary, exec: { args: ["600"], ready: "listen" } });
const broker = spawn(process.execPath, [rpb, "serve", "--socket", socket, "--hello-rate", "0", "--log-level", "warn"], {
  env,
  stdio: ["ignore", "pipe", "ignore"],
});
let asked = 0;
try {
  await once(broker.stdout, "data");
  await hellos(FIRST_HELLOS);
  const first = await look();
  await launches(launchesWanted);
  await hellos(hellosWanted);
  const last = await look();
  const refused = asked - negotiated();
  const grownMb = tenths(last.rssMb - first.rssMb);
  // The listing itself and a connection that is just being closed may be among them.
  const leftOpen = last.descriptors - first.descriptors > 2;
  const ok = grownMb <= limitMb && !leftOpen && refused === 0;
  const report = {
    ok,
    hellos: hellosWanted,
    launches: launchesWanted,
    refused,
    restSeconds,
    first,
    last,
    grownMb,
    limitMb,
  };
  console.log(JSON.stringify(report, null, 2));
  process.exitCode = ok ? 0 : 1;
} finally {
  const ended = once(broker, "exit");
  spawnSync(process.execPath, [rpb, "stop", "--with-backends", "--socket", socket], { env });
  await ended;
  rmSync(root, { recursive: true, force: true });
}

/** Resident memory: what is the broker's own (`anonMb`: V8's heap, malloc, stacks) and what it shares of files (`fileMb`). */
async function look() {
  await sleep(Math.max(500, restSeconds * 1000));
  const status = readFileSync(`/proc/${broker.pid}/status`, "utf8");
  const mb = (field) => tenths(Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(status)?.[1]) / 1024);
  return {
    rssMb: mb("VmRSS"),
    anonMb: mb("RssAnon"),
    fileMb: mb("RssFile"),
    descriptors: readdirSync(`/proc/${broker.pid}/fd`).length,
  };
}

function tenths(number) {
  return Math.round(number * 10) / 10;
}

/** Hellos that the broker says it has granted. */
function negotiated() {
  const { stdout } = spawnSync(process.execPath, [rpb, "metrics", "--openmetrics", "--socket", socket], {
    env,
    encoding: "utf8",
  });
  const rows = stdout.matchAll(/^\S+_hello_total\{.*outcome="negotiated".*\} (\d+)$/gm);
  return [...rows].reduce((sum, [, count]) => sum + Number(count), 0);
}

async function hellos(count) {
  let next = 0;
  const worker = async () => {
    while (next++ < count) await hello("1.0.0");
  };
  await Promise.all(Array.from({ length: CONCURRENT }, worker));
}

async function launches(count) {
  const kept = new Set(sleepers());
  for (let done = 0; done < count; done += LAUNCH_BATCH) {
    const batch = Array.from({ length: Math.min(LAUNCH_BATCH, count - done) }, (_, at) => hello(`2.0.${done + at}`));
    await Promise.all(batch);
    for (const pid of sleepers()) if (!kept.has(pid)) process.kill(pid, "SIGKILL");
  }
}

function sleepers() {
  const found = spawnSync("pgrep", ["-f", `^${binary} 600`], { encoding: "utf8" }).stdout;
  return found.split("\n").filter(Boolean).map(Number);
}

/** One Hello, answered and forgotten. */
function hello(wantedVersion) {
  asked++;
  const payload = encodeMessage(HelloSchema, {
    clientMinProtocol: 1,
    clientMaxProtocol: 1,
    serviceName: SERVICE,
    wantedVersion,
  });
  return new Promise((resolve, reject) => {
    const client = connect(socket, () => client.write(encodeRequest({ payloadProtocol: 0, payload, requestId: 1n })));
    client
      .on("error", reject)
      .on("close", () => resolve())
      .resume();
  });
}
