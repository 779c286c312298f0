/** A backend that somebody else started, and a broker in registered mode before it. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { TestContext } from "node:test";
import { type Handing, handingIn } from "./handing.ts";
import { createWorld, type World } from "./world.ts";

export interface Registered extends Handing {
  readonly backendPid: number;
}

export interface RegisteredBackend {
  readonly pid: number;
  /** For `rpb serve` and the compat binary. */
  readonly args: readonly string[];
  readonly journal: string;
}

/** Starts the backend of a service `svc`; it takes v1 handoffs beside its own endpoint. It ends with the test. */
export async function startBackend(world: World, options: { plan?: string } = {}): Promise<RegisteredBackend> {
  const { plan } = options;
  const fixture = plan === undefined ? "handoff-counts.mjs" : "handoff-scripted.mjs";
  world.define({ serviceName: "svc", binary: fixture });
  const [endpoint, handoffs, journal] = ["be", "ho", "svc.journal"].map((name) => join(world.root, name)) as [
    string,
    string,
    string,
  ];
  const child = world.track(
    spawn(join(world.root, "bin", fixture), [], {
      env: {
        ...world.env,
        ...(plan !== undefined && { PLAN: plan }),
        JOURNAL: journal,
        GO: join(world.root, "svc.go"),
        HANDOFF_ENDPOINT: handoffs,
        RUNNING_PROCESS_BROKER_V1_SERVICE_NAME: "svc",
        RUNNING_PROCESS_BROKER_V1_SERVICE_VERSION: "1.0.0",
        RUNNING_PROCESS_BROKER_V1_BACKEND_PIPE: endpoint,
        RUNNING_PROCESS_BROKER_V1_BACKEND_NAMESPACE: "private:svc",
      },
      stdio: ["ignore", "pipe", "inherit"],
    }),
  );
  if (child.stdout === null) throw new Error("no output");
  await once(createInterface({ input: child.stdout }), "line");
  return {
    pid: child.pid as number,
    args: [
      ...["--service", "svc", "--version", "1.0.0"],
      ...["--backend-endpoint", endpoint, "--handoff-endpoint", handoffs],
    ],
    journal,
  };
}

/** `handoffEndpoint`: instead of the backend's own. `dies`: as for `createHanding`. */
export async function createRegistered(
  t: TestContext,
  options: { plan?: string; handoffEndpoint?: string; dies?: boolean } = {},
): Promise<Registered> {
  let registered: Registered | undefined;
  t.after(() => registered?.shutDown());
  const world = await createWorld(t, { leavesProcesses: options.dies ?? false });
  const backend = await startBackend(world, options);
  const args = [...backend.args];
  if (options.handoffEndpoint !== undefined) args.splice(-1, 1, options.handoffEndpoint);
  const broker = await world.startBroker([
    ...["--socket", join(world.runtime, "b.sock"), "--hello-rate", "0", "--log-level", "debug"],
    ...args,
  ]);
  registered = { ...handingIn(world, broker), backendPid: backend.pid };
  return registered;
}
