// Clients that ask without pause, while brokers and backends are killed and stopped, brokers are restarted, sockets vanish, definitions change
// and the disk for logs fills up, by backends that flood their logs, too. Every request must succeed or fail with a coded error
// that may be tried again; then, while one backend writes 400 MB/s, the broker still answers at once and the logs are within
// their limit a second later; at the end everything can be stopped and nothing is left.
//
//   npm run chaos -- [--seconds 60] [--clients 20] [--services 5] [--seed 1]
//
// Exit 0 when all of that held, 1 when not, 64 for wrong usage. As root the logs lie on a small file system of their own.
import { execFileSync, spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { ERROR_TABLE, isBrokerError, openServices } from "running-process-broker";
import { openSession } from "running-process-broker/client";
import { logBytes } from "../../bench/lean/log-bytes.mjs";
import { FLOOD_ORDER, isHarmless, watchFlood } from "./flood.mjs";

const PROTOCOL = 0xf101;
/** The file system of the logs, where one can be mounted: a flood fills it in a moment. */
const STATE_MIB = 64;
const PAUSE_MS = 250;
const SETTLE_MS = 15_000;
const rpb = fileURLToPath(new URL("../../dist/cli/rpb.cjs", import.meta.url));
const backendSource = new URL("flooding-backend.mjs", import.meta.url);

const options = readOptions();
const random = createRandom(options.seed);
const world = await createWorld(options.services);
const tally = { requests: 0, answered: 0, wrong: 0, retryable: {}, final: {}, examples: {}, actions: {} };
let over = false;

const clients = Array.from({ length: options.clients }, (_, id) => ask(id));
const until = performance.now() + options.seconds * 1000;
while (performance.now() < until) {
  await act(pick(Object.keys(ACTIONS())));
  await sleep(random() * 2 * PAUSE_MS);
}
world.heal();
// All that was broken last may be noticed and mended while clients still ask.
await sleep(2_000);
over = true;
await Promise.all(clients);
const calm = await askAll();
const flood = calm === 0 && (await askOnce(world.services[0], FLOOD_ORDER)) ? await watchFlood(world) : undefined;
const left = await world.stop();
const lost = tally.wrong + Object.values(tally.final).reduce((sum, n) => sum + n, 0) + calm;
const ok = lost === 0 && left.length === 0 && flood !== undefined && isHarmless(flood);
console.log(JSON.stringify({ ok, seconds: options.seconds, ...tally, lost, calmFailures: calm, flood, left }, null, 2));
world.remove(ok);
process.exitCode = ok ? 0 : 1;

// ------------------------------------------------------------------------------------------------ clients

/** Asks until it is over; a failure that may be tried again is tried again with the next request. */
async function ask(id) {
  for (let n = 0; !over; n++) await askOnce(pick(world.services), `${id}:${n}`);
}

async function askOnce(service, text) {
  tally.requests++;
  const payload = Buffer.from(text);
  let session;
  try {
    session = await openSession({
      service,
      version: "1.0.0",
      env: world.env,
      timeoutMs: 20_000,
      firstRequest: { protocol: PROTOCOL, payload, idempotent: true },
    });
    const answer = Buffer.from(await session.firstResponse).toString();
    if (answer === text) tally.answered++;
    else tally.wrong++;
    return true;
  } catch (error) {
    const code = isBrokerError(error) ? error.code : `${error?.name}: ${error?.message}`;
    const kind = isBrokerError(error) && ERROR_TABLE[error.code].retry !== "never" ? tally.retryable : tally.final;
    kind[code] = (kind[code] ?? 0) + 1;
    tally.examples[code] ??= String(error?.message);
    return false;
  } finally {
    await session?.close().catch(() => {});
  }
}

/** Once the storm is over every service must answer within its crash window. */
async function askAll() {
  let failures = 0;
  for (const service of world.services) {
    const limit = performance.now() + 45_000;
    let answered = false;
    while (!answered && performance.now() < limit) {
      answered = await askOnce(service, `calm ${service}`);
      if (!answered) await sleep(500);
    }
    if (!answered) failures++;
  }
  return failures;
}

// ------------------------------------------------------------------------------------------------ what goes wrong

function ACTIONS() {
  return {
    killBroker: () => signalOne(world.brokers(), "SIGKILL"),
    killBackend: () => signalOne(world.backends(), "SIGKILL"),
    restartBroker: () => signalOne(world.brokers(), "SIGHUP"),
    stopBackend: () => pauseOne(world.backends()),
    stopBroker: () => pauseOne(world.brokers()),
    deleteSocket: () => {
      // Before the first client there is no directory.
      const sockets = (existsSync(world.runtime) ? readdirSync(world.runtime) : []).filter((name) =>
        name.endsWith(".sock"),
      );
      if (sockets.length > 0) rmSync(join(world.runtime, pick(sockets)), { force: true });
      return sockets.length > 0;
    },
    changeDefinition: () => {
      world.define(pick(world.services), String(random()));
      return true;
    },
    flood: () => askOnce(pick(world.services), "flood 400 0.3"),
    fillDisk: () => world.fillDisk(),
    freeDisk: () => world.freeDisk(),
  };
}

async function act(name) {
  if (await ACTIONS()[name]()) tally.actions[name] = (tally.actions[name] ?? 0) + 1;
}

function signalOne(pids, signal) {
  if (pids.length === 0) return false;
  try {
    process.kill(pick(pids), signal);
    return true;
  } catch {
    return false;
  }
}

async function pauseOne(pids) {
  if (pids.length === 0) return false;
  const pid = pick(pids);
  try {
    process.kill(pid, "SIGSTOP");
    await sleep(random() * 600);
    process.kill(pid, "SIGCONT");
    return true;
  } catch {
    return false;
  }
}

// ------------------------------------------------------------------------------------------------ the world

async function createWorld(count) {
  // Short: socket paths below it must fit into the kernel's 107 bytes.
  const root = mkdtempSync("/tmp/rpb-");
  const state = join(root, "state");
  mkdirSync(state, { mode: 0o700 });
  const isRoot = process.geteuid?.() === 0;
  const mounted =
    isRoot && spawnSync("mount", ["-t", "tmpfs", "-o", `size=${STATE_MIB}m,mode=0700`, "none", state]).status === 0;
  const env = { ...process.env, XDG_RUNTIME_DIR: root, XDG_CONFIG_HOME: join(root, "config"), XDG_STATE_HOME: state };
  for (const name of Object.keys(env)) if (name.startsWith("RUNNING_PROCESS_")) delete env[name];
  if (isRoot) env.RUNNING_PROCESS_BROKER_ALLOW_PRIVILEGED = "1";
  const runtime = join(root, "running-process", "broker");
  const binary = join(root, "backend.mjs");
  // Out of its place, names of modules that are looked for around it lead nowhere.
  writeFileSync(
    binary,
    readFileSync(backendSource, "utf8")
      .replace("running-process-broker/backend", new URL("../../dist/backend/index.js", import.meta.url).href)
      .replace("import.meta.url", JSON.stringify(backendSource.href)),
  );
  chmodSync(binary, 0o755);
  const registry = await openServices({ env });
  const services = Array.from({ length: count }, (_, i) => `chaos-${i}`);
  const define = (name, text) => registry.add({ name, binary, isolation: "shared", exec: { env: { CHAOS: text } } });
  for (const name of services) define(name, "0");
  const filler = join(state, "filler");
  const mine = (word) =>
    processesOf(root)
      .filter(({ command }) => command.includes(word))
      .map(({ pid }) => pid);
  return {
    env,
    runtime,
    services,
    define,
    brokers: () => mine("rpb.cjs\0serve"),
    backends: () => mine("backend.mjs"),
    writers: () => mine("write-log.mjs"),
    logBytes: (service) => logBytes(state, service),
    fillDisk() {
      if (!mounted) return false;
      try {
        writeFileSync(filler, Buffer.alloc((STATE_MIB + 1) * 1024 * 1024));
      } catch {
        // Full now, which is the purpose.
      }
      return true;
    },
    freeDisk() {
      rmSync(filler, { force: true });
      return mounted;
    },
    heal() {
      rmSync(filler, { force: true });
      for (const { pid } of processesOf(root)) process.kill(pid, "SIGCONT");
    },
    /** What is still there when everything was told to end. */
    async stop() {
      const stopped = spawnSync(process.execPath, [rpb, "stop", "--with-backends"], { env, encoding: "utf8" });
      const limit = performance.now() + SETTLE_MS;
      while (processesOf(root).length > 0 && performance.now() < limit) await sleep(50);
      const processes = processesOf(root).map(({ pid, command }) => `process ${pid}: ${command.replaceAll("\0", " ")}`);
      for (const { pid } of processesOf(root)) process.kill(pid, "SIGKILL");
      const files = readdirSync(runtime).map((name) => `file ${name}`);
      return [...(stopped.status === 0 ? [] : [`rpb stop: ${stopped.stderr}`]), ...processes, ...files];
    },
    remove(all) {
      if (!all) console.error(`kept for a look: ${root}`);
      if (all && mounted) execFileSync("umount", [state]);
      if (all) rmSync(root, { recursive: true, force: true });
    },
  };
}

/** Every process that was started in this world, by its environment. */
function processesOf(root) {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((pid) => {
      try {
        if (!readFileSync(`/proc/${pid}/environ`, "latin1").includes(`XDG_RUNTIME_DIR=${root}`)) return [];
        return [{ pid: Number(pid), command: readFileSync(`/proc/${pid}/cmdline`, "latin1") }];
      } catch {
        return [];
      }
    });
}

// ------------------------------------------------------------------------------------------------ arguments, chance

function readOptions() {
  try {
    const { values } = parseArgs({
      options: {
        seconds: { type: "string", default: "60" },
        clients: { type: "string", default: "20" },
        services: { type: "string", default: "5" },
        seed: { type: "string", default: String(Date.now() % 1_000_000) },
      },
    });
    const numbers = Object.fromEntries(Object.entries(values).map(([name, text]) => [name, Number(text)]));
    if (Object.values(numbers).every((number) => Number.isSafeInteger(number) && number > 0)) return numbers;
  } catch {
    // As wrong as a number that is none.
  }
  process.stderr.write("usage: npm run chaos -- [--seconds 60] [--clients 20] [--services 5] [--seed 1]\n");
  process.exit(64);
}

function pick(items) {
  return items[Math.floor(random() * items.length)];
}

/** mulberry32: the same storm for the same seed, as far as the system plays along. */
function createRandom(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
