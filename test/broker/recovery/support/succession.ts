/** Brokers that come one after the other, and what they find of the one before. */
import type { TestContext } from "node:test";
import { type Launching, launchingIn, startLaunchingBroker } from "../../../support/launching.ts";
import { createWorld, type World } from "../../../support/world.ts";

/** A world in which brokers come one after the other; the last is ended with its backends. */
export async function createSuccession(t: TestContext): Promise<{ world: World; next(): Promise<Launching> }> {
  const started: Launching[] = [];
  t.after(() => started.at(-1)?.shutDown());
  const world = await createWorld(t);
  return {
    world,
    async next() {
      const launching = launchingIn(world, await startLaunchingBroker(world));
      started.push(launching);
      return launching;
    },
  };
}

/** The same with a service `svc` on obeys.mjs, of which the first broker has launched a backend. */
export async function launchedByFirst(
  t: TestContext,
  labels: Readonly<Record<string, string>> = {},
): Promise<{ world: World; next(): Promise<Launching>; first: Launching; backendPipe: string; pid: number }> {
  const { world, next } = await createSuccession(t);
  world.define({ serviceName: "svc", binary: "obeys.mjs", labels });
  const first = await next();
  const { backendPipe } = await first.negotiated("svc");
  const [pid = 0] = first.pids("svc");
  return { world, next, first, backendPipe, pid };
}

export async function kill({ broker }: Launching): Promise<void> {
  broker.process.kill("SIGKILL");
  await broker.ended;
}

/** The verdict on one leftover, once it is known. */
export async function verdict(launching: Launching, endpoint: string): Promise<Record<string, unknown>> {
  const line = await launching.broker.logged(new RegExp(`"backend-found".*${endpoint.split("/").at(-1)}`));
  return JSON.parse(line) as Record<string, unknown>;
}
