/** SIGUSR1 must not open Node's debugger, a TCP port that runs code, in a broker or a backend (docs/security.md). */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { openSession, type Session } from "../../src/client/index.ts";
import { adminRequest } from "../../src/exchange/admin-client.ts";
import { AdminVerb } from "../../src/wire/messages.ts";
import { openFiles } from "../support/process-facts.ts";
import { createWorld, RPB, type World } from "../support/world.ts";

/** Sockets of a process that are TCP listeners. */
function tcpListeners(pid: number): string[] {
  const table = ["tcp", "tcp6"].map((name) => readFileSync(`/proc/${pid}/net/${name}`, "utf8")).join("");
  const listening = table
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[3] === "0A")
    .map((fields) => `socket:[${fields[9]}]`);
  return openFiles(pid).filter((file) => listening.includes(file));
}

/**
 * Sends the signal, and returns when an ordinary Node that was sent it afterwards has opened its debugger: by then the
 * others would have, too.
 */
async function signalAndWait(world: World, ...pids: number[]): Promise<void> {
  const control = world.track(
    spawn(process.execPath, ["--inspect-port=0", "-e", "console.log('up'); setInterval(() => {}, 1000)"], {
      env: world.env,
      stdio: ["ignore", "pipe", "pipe"],
    }),
  );
  await once(control.stdout as NodeJS.ReadableStream, "data");
  for (const pid of pids) process.kill(pid, "SIGUSR1");
  control.kill("SIGUSR1");
  await once(control.stderr as NodeJS.ReadableStream, "data");
  await end(control);
}

async function end(child: ChildProcess): Promise<void> {
  child.kill("SIGKILL");
  await once(child, "exit");
}

async function ask(world: World, endpoint: string, service: string): Promise<Record<string, unknown>> {
  const session = await openSession({
    service,
    version: "1.0.0",
    env: world.env,
    broker: { endpoint, autoStart: false },
  });
  const answer = JSON.parse(Buffer.from(await session.request(0xf001, Buffer.alloc(0))).toString());
  await session.close();
  return answer;
}

async function statusOf(world: World, endpoint: string): Promise<{ broker_pid: number }> {
  const { body } = await adminRequest(world.platform, endpoint, { verb: AdminVerb.STATUS, json: true });
  return JSON.parse(body);
}

async function serving(t: TestContext): Promise<{ world: World; endpoint: string; stop(): Promise<unknown> }> {
  const world = await createWorld(t);
  const endpoint = join(world.root, "b.sock");
  world.define({ serviceName: "plain", binary: "debug-signal.mjs" });
  world.define({ serviceName: "author", binary: "debug-signal.mjs", labels: { "exec.env.AUTHOR": "1" } });
  const broker = await world.startBroker(["--socket", endpoint]);
  const stop = async (): Promise<unknown> => {
    await adminRequest(world.platform, endpoint, {
      verb: AdminVerb.SHUTDOWN,
      withBackends: true,
      drainDeadlineMs: 5000,
    });
    return broker.ended;
  };
  return { world, endpoint, stop };
}

test("a broker, its successor, and a backend open no debugger, and go on", async (t) => {
  const { world, endpoint, stop } = await serving(t);
  const first = await ask(world, endpoint, "plain");
  const { broker_pid } = await statusOf(world, endpoint);
  await signalAndWait(world, broker_pid, Number(first.pid));
  assert.deepEqual(tcpListeners(broker_pid), []);
  assert.deepEqual(tcpListeners(Number(first.pid)), []);
  assert.deepEqual(await ask(world, endpoint, "plain"), { ...first, url: null });
  assert.equal(first.early, 1, "from the import on: the program had not called serve() yet");

  await adminRequest(world.platform, endpoint, { verb: AdminVerb.RESTART, json: true, timeoutMs: 30_000 });
  const successor = (await statusOf(world, endpoint)).broker_pid;
  assert.notEqual(successor, broker_pid);
  await signalAndWait(world, successor);
  assert.deepEqual(tcpListeners(successor), []);
  assert.equal((await statusOf(world, endpoint)).broker_pid, successor);
  await stop();
});

test("a backend's own listener runs, once, and may open the debugger", async (t) => {
  const { world, endpoint, stop } = await serving(t);
  const { pid } = await ask(world, endpoint, "author");
  await signalAndWait(world, Number(pid));
  const { heard, url } = await ask(world, endpoint, "author");
  assert.equal(heard, 1);
  assert.match(String(url), /^ws:/);
  assert.equal(tcpListeners(Number(pid)).length, 1);
  await stop();
});

/** Becomes a program to which the signal has been sent: Node takes it as soon as it listens for it, before the program's first statement. */
const SIGNALLED = `import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
os.kill(os.getpid(), signal.SIGUSR1)
os.execv(sys.argv[1], sys.argv[1:])`;

test("a debugger that the signal opened before the program's first statement is closed", async (t) => {
  const world = await createWorld(t);
  const endpoint = join(world.root, "b.sock");
  const words = [process.execPath, "--inspect-port=0", RPB, "serve", "--socket", endpoint];
  const child = world.track(
    spawn("python3", ["-c", SIGNALLED, ...words], { env: world.env, stdio: ["ignore", "pipe", "pipe"] }),
  );
  let log = "";
  child.stderr?.setEncoding("utf8").on("data", (chunk: string) => {
    log += chunk;
  });
  const ended = once(child, "close");
  const ready = once(child.stdout as NodeJS.ReadableStream, "data");
  await Promise.race([ready, ended.then(() => assert.fail(`the broker ended:\n${log}`))]);
  while (!log.includes("Debugger listening") || tcpListeners(child.pid as number).length > 0)
    await statusOf(world, endpoint);
  child.kill("SIGTERM");
  await ended;
});

test("a debugger that the signal opened before a backend imported the SDK is closed", async (t) => {
  const world = await createWorld(t);
  const endpoint = join(world.root, "be.sock");
  const words = [process.execPath, "--inspect-port=0", world.install("debug-signal.mjs")];
  // As a broker launches it: a broker would run the program itself and not what sends the signal first.
  const launch = {
    RUNNING_PROCESS_BROKER_V1_BACKEND_PIPE: endpoint,
    RUNNING_PROCESS_BROKER_V1_SERVICE_NAME: "plain",
    RUNNING_PROCESS_BROKER_V1_SERVICE_VERSION: "1.0.0",
  };
  const child = world.track(
    spawn("python3", ["-c", SIGNALLED, ...words], {
      env: { ...world.env, ...launch },
      stdio: ["ignore", "ignore", "pipe"],
    }),
  );
  let log = "";
  child.stderr?.setEncoding("utf8").on("data", (chunk: string) => {
    log += chunk;
  });
  const ended = once(child, "close");
  const open = (): Promise<Session | undefined> =>
    openSession({
      service: "plain",
      version: "1.0.0",
      env: world.env,
      cachedEndpoint: endpoint,
      broker: { autoStart: false },
    }).catch(() => undefined);
  let session = await open();
  for (; session === undefined; session = await open()) assert.equal(child.exitCode, null, log);
  while (!log.includes("Debugger listening") || tcpListeners(child.pid as number).length > 0)
    await session.request(0xf001, Buffer.alloc(0));
  await session.close();
  child.kill("SIGTERM");
  await ended;
});

/** By the path of a module that opens the debugger, as those of editors do. */
const WANTED: Readonly<Record<string, (module: string) => string>> = {
  "--inspect": () => "--inspect=127.0.0.1:0",
  "--require": (module) => `--require="${module}"`,
  "a quoted --require": (module) => `"--require=${module}"`,
};

for (const [way, options] of Object.entries(WANTED)) {
  test(`a debugger that was asked for by ${way} stays`, async (t) => {
    const world = await createWorld(t);
    const preload = join(world.root, "an editor's.cjs");
    writeFileSync(preload, `require("node:inspector").open(0);\n`);
    const broker = await world.startBroker(["--socket", join(world.root, "b.sock")], {
      env: { NODE_OPTIONS: options(preload) },
    });
    await statusOf(world, broker.endpoint);
    assert.equal(tcpListeners(broker.pid).length, 1);
    await broker.stop();
  });
}

test("a broker that a client starts is told on its command line, where Node can be", async (t) => {
  const world = await createWorld(t);
  world.define({ serviceName: "plain", binary: "debug-signal.mjs" });
  const session = await openSession({ service: "plain", version: "1.0.0", env: world.env });
  const told = world.processes().filter((pid) => readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("\0serve\0"));
  assert.equal(told.length, 1);
  const flagged = readFileSync(`/proc/${told[0]}/cmdline`, "utf8").includes("--disable-sigusr1");
  assert.equal(flagged, process.allowedNodeEnvironmentFlags.has("--disable-sigusr1"));
  await signalAndWait(world, told[0] as number);
  assert.deepEqual(tcpListeners(told[0] as number), []);
  await session.close();
  const stopped = await world.run(process.execPath, [RPB, "stop", "--all", "--with-backends"]);
  assert.equal(stopped.code, 0, stopped.stderr);
});
