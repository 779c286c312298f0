// Does a broker's memory stay where it is? After the first 1000 Hellos and 20 launches its resident memory is noted;
// then come many more of both, and it is compared. Each launch is a version of its own, whose backend is killed at once.
//
//   npm run soak -- [--hellos 100000] [--launches 1000] [--limit-mb 10]
//
// Exit 0 within the limit, 1 above it.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { openServices } from "running-process-broker";
import { encodeMessage } from "../../dist/wire/codec.js";
import { encodeRequest } from "../../dist/wire/envelope.js";
import { HelloSchema } from "../../dist/wire/messages.js";

const CONCURRENT = 16;
const SERVICE = "sleeps";
const rpb = fileURLToPath(new URL("../../dist/cli/rpb.js", import.meta.url));
const { values } = parseArgs({
  options: {
    hellos: { type: "string", default: "100000" },
    launches: { type: "string", default: "1000" },
    "limit-mb": { type: "string", default: "10" },
  },
});

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
try {
  await once(broker.stdout, "data");
  await hellos(1_000);
  await launches(0, 20);
  await sleep(1_000);
  const first = residentMb();
  await launches(20, 20 + Number(values.launches));
  await hellos(Number(values.hellos));
  await sleep(1_000);
  const last = residentMb();
  const grown = Math.round((last - first) * 10) / 10;
  const ok = grown <= Number(values["limit-mb"]);
  console.log(
    JSON.stringify({
      ok,
      hellos: Number(values.hellos),
      launches: Number(values.launches),
      firstMb: first,
      lastMb: last,
      grownMb: grown,
    }),
  );
  process.exitCode = ok ? 0 : 1;
} finally {
  const ended = once(broker, "exit");
  spawnSync(process.execPath, [rpb, "stop", "--with-backends", "--socket", socket], { env });
  await ended;
  rmSync(root, { recursive: true, force: true });
}

function residentMb() {
  const [, kb] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${broker.pid}/status`, "utf8"));
  return Math.round(Number(kb) / 102.4) / 10;
}

async function hellos(count) {
  let next = 0;
  const worker = async () => {
    while (next++ < count) await hello("1.0.0");
  };
  await Promise.all(Array.from({ length: CONCURRENT }, worker));
}

async function launches(from, to) {
  let next = from;
  const worker = async () => {
    for (let number = next++; number < to; number = next++) await hello(`2.0.${number}`);
  };
  await Promise.all(Array.from({ length: 4 }, worker));
  for (const pid of sleepers()) process.kill(pid, "SIGKILL");
  // The one that the Hellos ask for is launched again.
  await hello("1.0.0");
}

function sleepers() {
  const found = spawnSync("pgrep", ["-f", `^${binary} 600`], { encoding: "utf8" }).stdout;
  return found.split("\n").filter(Boolean).map(Number);
}

/** One Hello, answered and forgotten. */
function hello(wantedVersion) {
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
