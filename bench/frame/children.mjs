// The processes of a run, and what else has to be undone. All of it is undone when a benchmark ends, however it ends,
// and when the whole run is interrupted.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

const cleanups = new Set();
let ending = false;

/** Runs once, at the latest when the run ends. Returns how to run it earlier. Throws when the run is ending already. */
export function deferCleanup(clean) {
  if (ending) throw new Error("the run was interrupted");
  let done;
  const run = () => {
    done ??= (async () => {
      try {
        await clean();
      } finally {
        cleanups.delete(run);
      }
    })();
    return done;
  };
  cleanups.add(run);
  return run;
}

/** Undoes everything, the latest first. */
export async function cleanUp() {
  while (cleanups.size > 0)
    await [...cleanups]
      .at(-1)()
      .catch(() => {});
}

/** Undoes everything and lets nothing new begin. */
export function endRun() {
  ending = true;
  return cleanUp();
}

/** The absolute path of a file below bench/programs. */
export function program(name) {
  return fileURLToPath(new URL(`../programs/${name}`, import.meta.url));
}

/** A child process that does not outlive the run. `ended` resolves to [status, signal]. */
export function start(file, args, options = {}) {
  let child;
  let ended;
  const stop = deferCleanup(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
    await ended.catch(() => {});
  });
  child = spawn(file, args, { stdio: ["ignore", "pipe", "inherit"], ...options });
  ended = once(child, "exit");
  ended.then(stop, () => {});
  return { child, ended, stop, pid: child.pid };
}

/** A program of ours that says a line when it is ready; resolves then. Its line is `word`. */
export async function startServer(name, task) {
  const server = start(process.execPath, [program(name), JSON.stringify(task)]);
  const said = once(server.child.stdout, "data").then(([chunk]) => chunk.toString().trim());
  const word = await Promise.race([said, server.ended.then(([status]) => failure(name, status))]);
  if (word instanceof Error) throw word;
  return { ...server, word };
}

/** Runs a measuring program to its end; what it prints is its result as JSON. */
export async function measureIn(name, task, { env = process.env, limitMs }) {
  const { child, ended } = start(process.execPath, [program(name), JSON.stringify(task)], { env });
  // A blocking client cannot keep a time limit of its own.
  const timer = setTimeout(() => child.kill("SIGKILL"), limitMs);
  const chunks = [];
  child.stdout.on("data", (chunk) => chunks.push(chunk));
  const closed = once(child, "close");
  const [status, signal] = await ended;
  clearTimeout(timer);
  await closed;
  if (status !== 0) throw failure(name, signal ?? status);
  return JSON.parse(Buffer.concat(chunks).toString());
}

function failure(name, how) {
  return new Error(`${name} ended with ${typeof how === "string" ? how : `status ${how}`}`);
}
