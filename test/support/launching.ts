/** A world with one broker that launches, for all instances, and short ways to ask it. */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, watch } from "node:fs";
import { dirname, join } from "node:path";
import type { TestContext } from "node:test";
import { encodeMessage } from "../../src/wire/codec.ts";
import { encodeRequest } from "../../src/wire/envelope.ts";
import {
  AdminRequestSchema,
  AdminVerb,
  type HelloReply,
  type Negotiated,
  type Refused,
} from "../../src/wire/messages.ts";
import { converse, type HelloInit, negotiatedIn, refusedIn, sayHello } from "./peers/raw-peer.ts";
import { createWorld, type RunningBroker, type World } from "./world.ts";

export interface Launching {
  readonly world: World;
  readonly broker: RunningBroker;
  hello(service: string, version?: string, more?: HelloInit): Promise<HelloReply>;
  /** @throws when it was refused */
  negotiated(service: string, version?: string): Promise<Negotiated>;
  /** @throws when it was not refused */
  refused(service: string, version?: string): Promise<Refused>;
  /** Processes and files of launches: what is there beyond the broker's own. */
  leftovers(): string[];
  /** SHUTDOWN with backends; resolves when the broker has ended. */
  shutDown(): Promise<void>;
  /** Pids in the broker's log of backends of `service` that got to `state`. */
  pids(service: string, state?: string): number[];
}

/** Broker and backends are ended before the world looks for what was left behind. */
export async function createLaunching(t: TestContext, env: Record<string, string> = {}): Promise<Launching> {
  let launching: Launching | undefined;
  // Before the world's own hook: they run in the order of registration.
  t.after(() => launching?.shutDown());
  const world = await createWorld(t);
  launching = launchingIn(world, await startLaunchingBroker(world, env));
  return launching;
}

export function startLaunchingBroker(world: World, env: Record<string, string> = {}): Promise<RunningBroker> {
  return world.startBroker(["--socket", join(world.runtime, "b.sock")], { env });
}

export function launchingIn(world: World, broker: RunningBroker): Launching {
  const hello: Launching["hello"] = (serviceName, wantedVersion = "1.0.0", more = {}) =>
    sayHello(broker.endpoint, { serviceName, wantedVersion, ...more });
  return {
    world,
    broker,
    hello,
    negotiated: async (service, version) => negotiatedIn(await hello(service, version)),
    refused: async (service, version) => refusedIn(await hello(service, version)),
    leftovers: () => [
      ...world
        .processes()
        .filter((pid) => pid !== broker.pid)
        .map((pid) => `process ${pid}`),
      ...readdirSync(world.runtime).filter((name) => !name.startsWith("b.sock")),
    ],
    async shutDown() {
      if (broker.process.exitCode !== null || broker.process.signalCode !== null) return;
      const payload = encodeMessage(AdminRequestSchema, {
        verb: AdminVerb.SHUTDOWN,
        withBackends: true,
        drainDeadlineMs: 100n,
      });
      await converse(broker.endpoint, encodeRequest({ payloadProtocol: 0xad01, payload, requestId: 1n }));
      await broker.ended;
    },
    pids: (service, state = "running") =>
      logLines(broker)
        .filter((line) => line.type === "backend-state" && line.service === service && line.to === state)
        .map((line) => Number(line.pid)),
  };
}

export function logLines(broker: RunningBroker): Record<string, unknown>[] {
  return broker
    .log()
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** Gives an order to a backend made from fixtures/obeys.mjs and resolves when it was carried out. */
export async function order(pipe: string, what: string): Promise<void> {
  const payload = Buffer.from(what);
  const answer = await converse(pipe, encodeRequest({ payloadProtocol: 0xf001, payload, requestId: 1n }));
  if (answer.toString() !== `done ${what}`) throw new Error(`order ${what} got ${JSON.stringify(answer.toString())}`);
}

export function makeFifo(path: string): string {
  execFileSync("mkfifo", ["-m", "600", path]);
  return path;
}

/** Resolves when `test` holds, looked at whenever something changes in the directory of `path`. */
export function fileCondition(path: string, test: () => boolean = () => existsSync(path)): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (!test()) return;
      watcher.close();
      resolve();
    };
    const watcher = watch(dirname(path), look);
    look();
  });
}

/** Resolves when a process that need not be our child has ended. */
export function processEnd(world: World, pid: number): Promise<void> {
  return new Promise((resolve) => {
    const handle = world.platform.processes.open(pid);
    if (handle === undefined) return resolve();
    // The watch alone does not keep the test alive.
    const alive = setInterval(() => {}, 1000);
    handle.onExit(() => {
      clearInterval(alive);
      handle.close();
      resolve();
    });
  });
}

/** Names of zombie children of a process. */
export function zombiesOf(parent: number): string[] {
  return readdirSync("/proc").filter((name) => {
    if (!/^\d+$/.test(name)) return false;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, "latin1");
      const [state, ppid] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return state === "Z" && Number(ppid) === parent;
    } catch {
      return false;
    }
  });
}
