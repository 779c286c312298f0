/** Registered mode: a Hello trusts the pidfd and the socket file of the process that was verified (spec: server §3.1). */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface, type Interface } from "node:readline";
import { type TestContext, test } from "node:test";
import { verifyRegistered } from "../../../src/broker/activation/registered-backend.ts";
import { loadPlatform } from "../../../src/platform/platform.ts";
import type { Files } from "../../../src/platform/ports/index.ts";
import { createDefinitionStore } from "../../../src/store/definition-store.ts";
import { negotiatedIn, refusedIn, sayHello } from "../../support/peers/raw-peer.ts";
import { createWorld, type RunningBroker, type World } from "../../support/world.ts";

interface Registered {
  readonly world: World;
  readonly broker: RunningBroker;
  readonly backend: ChildProcess;
  readonly endpoint: string;
  journal(): string[];
  /** Gives the backend an order and resolves when it was carried out. */
  order(what: "rebind" | "leave" | "bind" | "close"): Promise<void>;
  hello(): ReturnType<typeof sayHello>;
}

async function start(world: World, endpoint: string): Promise<{ backend: ChildProcess; lines: Interface }> {
  const backend = world.track(
    spawn(world.install("hands-blocking.py"), [], {
      env: {
        ...world.env,
        JOURNAL: join(world.root, "journal"),
        ORDERS: "1",
        RUNNING_PROCESS_BROKER_V1_BACKEND_PIPE: endpoint,
        RUNNING_PROCESS_BROKER_V1_BACKEND_NAMESPACE: "private:svc",
      },
      stdio: ["pipe", "pipe", "inherit"],
    }),
  );
  const lines = createInterface({ input: backend.stdout as NodeJS.ReadableStream });
  await once(lines, "line");
  return { backend, lines };
}

async function createRegistered(t: TestContext): Promise<Registered> {
  let stop = async (): Promise<unknown> => undefined;
  // Before the world's own hook: they run in the order of registration.
  t.after(() => stop());
  const world = await createWorld(t);
  world.define({ serviceName: "svc", binary: "hands-blocking.py" });
  const endpoint = join(world.root, "be");
  const { backend, lines } = await start(world, endpoint);
  const broker = await world.startBroker([
    ...["--socket", join(world.runtime, "b.sock"), "--hello-rate", "0"],
    ...["--service", "svc", "--version", "1.0.0", "--backend-endpoint", endpoint],
  ]);
  stop = () => broker.stop();
  const file = join(world.root, "journal");
  return {
    world,
    broker,
    backend,
    endpoint,
    journal: () => (existsSync(file) ? readFileSync(file, "utf8").trimEnd().split("\n") : []),
    async order(what) {
      const done = once(lines, "line");
      backend.stdin?.write(`${what}\n`);
      await done;
    },
    hello: () => sayHello(broker.endpoint, { serviceName: "svc", wantedVersion: "1.0.0" }),
  };
}

test("it is probed once, when the broker starts: no Hello connects to it", async (t) => {
  const at = await createRegistered(t);
  for (let i = 0; i < 50; i++) assert.equal(negotiatedIn(await at.hello()).backendPipe, at.endpoint);
  assert.deepEqual(at.journal(), ["probed"]);
});

test("one that binds its socket anew is verified anew, once, and served on", async (t) => {
  const at = await createRegistered(t);
  negotiatedIn(await at.hello());
  for (let round = 1; round <= 2; round++) {
    await at.order("rebind");
    const together = await Promise.all(Array.from({ length: 10 }, () => at.hello()));
    for (const reply of together) assert.equal(negotiatedIn(reply).backendPipe, at.endpoint);
    negotiatedIn(await at.hello());
    assert.deepEqual(
      at.journal(),
      Array.from({ length: 1 + round }, () => "probed"),
    );
  }
});

test("a socket that another process has bound at its path is not handed out", async (t) => {
  const at = await createRegistered(t);
  negotiatedIn(await at.hello());
  await at.order("leave");
  await start(at.world, at.endpoint);
  const { reason } = refusedIn(await at.hello());
  assert.equal(reason, "backend is not registered");
});

test("one that has ended is not handed out, though its socket file is there", async (t) => {
  const at = await createRegistered(t);
  negotiatedIn(await at.hello());
  at.backend.kill("SIGKILL");
  await once(at.backend, "exit");
  assert.ok(existsSync(at.endpoint));
  refusedIn(await at.hello());
});

/** Guards against a backend that one Hello in the gap between unlink and bind removed for good. */
test("one whose socket file is away for a while is served on when it is back, although clients asked meanwhile", async (t) => {
  const at = await createRegistered(t);
  for (let round = 1; round <= 2; round++) {
    await at.order("leave");
    for (let i = 0; i < 3; i++) refusedIn(await at.hello());
    await at.order("bind");
    assert.equal(negotiatedIn(await at.hello()).backendPipe, at.endpoint);
  }
  // What asked in the gap has connected to nothing.
  assert.deepEqual(at.journal(), ["probed", "probed", "probed"]);
});

/** Guards against an endpoint that was handed out although every client's connect was refused. */
test("one that closes its listener and lives on is not handed out, and is again when it listens again", async (t) => {
  const at = await createRegistered(t);
  await at.order("close");
  assert.ok(existsSync(at.endpoint));
  assert.equal(refusedIn(await at.hello()).reason, "backend is not registered");
  assert.equal(at.backend.exitCode, null);
  await at.order("rebind");
  assert.equal(negotiatedIn(await at.hello()).backendPipe, at.endpoint);
});

/** Guards against a watch that stayed open when a broker ended while its backend was being verified anew. */
test("one that is closed while it is verified anew leaves no watch behind", async (t) => {
  const at = await createRegistered(t);
  const platform = await loadPlatform();
  let watches = 0;
  const files: Files = Object.assign(Object.create(platform.files), {
    changeCounter(directory: string) {
      const counter = platform.files.changeCounter(directory);
      watches++;
      return {
        value: () => counter.value(),
        close() {
          watches--;
          counter.close();
        },
      };
    },
  });
  const definitions = createDefinitionStore(platform.files, at.world.definitions);
  const registered = { service: "svc", version: "1.0.0", endpoint: at.endpoint };
  const serving = await verifyRegistered({ ...platform, files }, definitions, registered);
  assert.equal(watches, 1);
  await at.order("rebind");
  const verifying = serving.isServing();
  serving.close();
  assert.equal(await verifying, false);
  assert.equal(watches, 0);
});
