// A broker and a backend in a directory of their own; nothing of it is left when it is closed.
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { openServices } from "running-process-broker";

export const SERVICE = "bench-echo";
export const VERSION = "1.0.0";

const execute = promisify(execFile);
const rpb = fileURLToPath(new URL("../dist/cli/rpb.js", import.meta.url));
const backend = fileURLToPath(new URL("./echo-backend.mjs", import.meta.url));
const instance = ["--instance", `private:${SERVICE}`];

/** `nodeOptions`: for the broker's process, such as --cpu-prof. */
export async function openWorld({ nodeOptions = [] } = {}) {
  // Short, whatever TMPDIR says: the socket paths below it must fit into the kernel's 107 bytes.
  const root = await mkdtemp("/tmp/rpb-");
  const env = worldEnvironment(root);
  let broker;
  const close = async () => {
    if (broker?.exitCode === null && broker.signalCode === null) {
      const ended = once(broker, "exit");
      await execute(process.execPath, [rpb, "stop", "--with-backends", ...instance], { env }).catch(() =>
        broker.kill("SIGKILL"),
      );
      await ended;
    }
    await rm(root, { recursive: true, force: true });
  };
  try {
    const services = await openServices({ env });
    services.add({ name: SERVICE, binary: backend });
    // One client process says thousands of Hellos a second here, which the limit of 256 is there to prevent.
    const args = [...nodeOptions, rpb, "serve", ...instance, "--hello-rate", "0"];
    broker = spawn(process.execPath, args, { env, stdio: ["ignore", "pipe", "inherit"] });
    const endpoint = await readyEndpoint(broker);
    return { env, endpoint, close };
  } catch (error) {
    await close();
    throw error;
  }
}

function worldEnvironment(root) {
  const env = {
    ...process.env,
    XDG_RUNTIME_DIR: root,
    XDG_CONFIG_HOME: join(root, "config"),
    XDG_STATE_HOME: join(root, "state"),
  };
  for (const name of Object.keys(env)) if (name.startsWith("RUNNING_PROCESS_")) delete env[name];
  if (process.geteuid?.() === 0) env.RUNNING_PROCESS_BROKER_ALLOW_PRIVILEGED = "1";
  return env;
}

async function readyEndpoint(broker) {
  for await (const line of createInterface({ input: broker.stdout })) {
    if (line.startsWith("ready ")) return line.slice("ready ".length);
  }
  throw new Error("the broker ended before it was ready");
}
