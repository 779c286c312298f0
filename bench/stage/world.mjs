// A broker, or none, in a directory of its own; nothing of it is left when it is closed.
import { closeSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { openServices } from "running-process-broker";
import { deferCleanup, program, start } from "../frame/children.mjs";

export const SERVICE = "bench-echo";
export const VERSION = "1.0.0";
/** The private-use protocol of the measured backend. */
export const PROTOCOL = 0xf101;

const rpb = fileURLToPath(new URL("../../dist/cli/rpb.cjs", import.meta.url));

/** `{ root, env, services, close }`: a place where nothing runs, with the measured service registered. */
export async function openPlace() {
  let root;
  const close = deferCleanup(async () => {
    await endProcessesOf(root);
    rmSync(root, { recursive: true, force: true });
  });
  // Short, whatever TMPDIR says: the socket paths below it must fit into the kernel's 107 bytes.
  root = mkdtempSync("/tmp/rpb-");
  const env = placeEnvironment(root);
  const services = await openServices({ env });
  services.add({ name: SERVICE, binary: program("echo-backend.mjs") });
  return { root, env, services, close };
}

/**
 * A place with a running broker: `endpoint` and `pid` too. `prepare` may register more services first; `nodeOptions`
 * are for the broker's process, such as --cpu-prof, and so are more variables (`env`).
 */
export async function openWorld({ nodeOptions = [], prepare = () => {}, env: more = {} } = {}) {
  const place = await openPlace();
  const { root } = place;
  const env = { ...place.env, ...more };
  prepare(place);
  mkdirSync(join(root, "b"), { mode: 0o700 });
  const endpoint = join(root, "b", "b.sock");
  const log = join(root, "broker.log");
  const logFd = openSync(log, "a");
  // One client process says thousands of Hellos a second here, which the limit of 256 is there to prevent.
  const args = [...nodeOptions, rpb, "serve", "--socket", endpoint, "--hello-rate", "0"];
  const broker = start(process.execPath, args, { env, stdio: ["ignore", "pipe", logFd] });
  closeSync(logFd);
  await ready(broker.child, log);
  return {
    ...place,
    endpoint,
    pid: broker.pid,
    async close() {
      // A broker that is asked to end writes its profile, when it was told to make one; one that is killed does not.
      if (nodeOptions.length > 0) {
        broker.child.kill("SIGTERM");
        await broker.ended;
      }
      await place.close();
    },
  };
}

/** What makes each Node start later, by what it loads, and measured programs no different from one another. */
const SLOW_STARTS = ["NODE_EXTRA_CA_CERTS", "NODE_OPTIONS"];

/** This process's environment without what would make a start take twice as long here and not elsewhere. */
export function plainEnvironment() {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !SLOW_STARTS.includes(name)));
}

function placeEnvironment(root) {
  const env = {
    ...plainEnvironment(),
    XDG_RUNTIME_DIR: root,
    XDG_CONFIG_HOME: join(root, "config"),
    XDG_STATE_HOME: join(root, "state"),
  };
  for (const name of Object.keys(env)) if (name.startsWith("RUNNING_PROCESS_")) delete env[name];
  if (process.geteuid?.() === 0) env.RUNNING_PROCESS_BROKER_ALLOW_PRIVILEGED = "1";
  return env;
}

async function ready(broker, log) {
  for await (const line of createInterface({ input: broker.stdout })) if (line.startsWith("ready ")) return;
  throw new Error(`the broker ended before it was ready:\n${readFileSync(log, "utf8").slice(-2000)}`);
}

/** Pids of the processes that were started in a place: its path is in their environment. */
export function processesOf(root) {
  const mark = `XDG_RUNTIME_DIR=${root}\0`;
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid && readProc(name, "environ").includes(mark))
    .map(Number);
}

/** "" for a process that is gone. */
export function readProc(pid, file) {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "latin1");
  } catch {
    return "";
  }
}

/** Killed and gone, those too that were being started meanwhile. */
async function endProcessesOf(root) {
  for (let pids = processesOf(root); pids.length > 0; pids = processesOf(root)) {
    for (const pid of pids) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // It ended by itself.
      }
    }
    await sleep(2);
  }
}
