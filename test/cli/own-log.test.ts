/** A broker's own log: bounded while it runs, whichever peer causes its lines, and never a reason not to end. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  appendFileSync,
  closeSync,
  constants,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type TestContext, test } from "node:test";
import { fileCondition } from "../support/launching.ts";
import { converse, refusedIn, sayHello } from "../support/peers/raw-peer.ts";
import { createWorld, RPB, type World } from "../support/world.ts";
import { rpb } from "../support/world-cli.ts";

const LIMIT = 1024 * 1024;

/** As a client starts it: stderr is the file that belongs to its instance. */
async function startWithLog(world: World, path: string, args: readonly string[] = []) {
  mkdirSync(world.logs, { recursive: true, mode: 0o700 });
  const stderr = openSync(path, "a", 0o600);
  const child = world.track(
    spawn(process.execPath, [RPB, "serve", "--instance", "shared", ...args], {
      env: world.env,
      stdio: ["ignore", "pipe", stderr],
    }),
  );
  closeSync(stderr);
  const [line] = await once(createInterface({ input: child.stdout as NodeJS.ReadableStream }), "line");
  return { child, endpoint: String(line).slice("ready ".length) };
}

test("the log of a broker that a client started is kept within its limit while it runs", async (t) => {
  const world = await createWorld(t);
  world.define({ serviceName: "reverse", isolation: "shared" });
  const path = join(world.logs, "broker-shared.log");
  assert.equal((await rpb(world, ["connect", "reverse", "1.0.0"])).code, 0);
  const endpoint = JSON.parse((await rpb(world, ["status", "--json"])).stdout).endpoint;
  // What Node itself says there, or a library, counts as well.
  appendFileSync(path, "x".repeat(LIMIT));
  refusedIn(await sayHello(endpoint, { serviceName: "none" }));
  await fileCondition(path, () => statSync(path).size < LIMIT / 2);
  assert.ok(statSync(`${path}.1`).size <= LIMIT);
  // The last block of what is moved aside may stay behind.
  const both = readFileSync(`${path}.1`, "utf8") + readFileSync(path, "utf8");
  assert.match(both, /hello-refused.*"service":"none"/);
  await rpb(world, ["stop", "--with-backends"]);
  assert.match(readFileSync(path, "utf8"), /broker-stopped/);
});

test("any other stderr is left alone, however large", async (t) => {
  const world = await createWorld(t);
  const path = join(world.root, "mine.log");
  const { child, endpoint } = await startWithLog(world, path);
  appendFileSync(path, "x".repeat(2 * LIMIT));
  refusedIn(await sayHello(endpoint, { serviceName: "none" }));
  child.kill("SIGTERM");
  await once(child, "exit");
  assert.ok(statSync(path).size > 2 * LIMIT);
  assert.deepEqual(
    readdirSync(world.root).filter((name) => name.startsWith("mine.log")),
    ["mine.log"],
  );
});

test("at the debug level, too, where each connection has its line", async (t) => {
  const world = await createWorld(t);
  const path = join(world.logs, "broker-shared.log");
  const { child, endpoint } = await startWithLog(world, path, ["--log-level", "debug", "--hello-rate", "0"]);
  appendFileSync(path, "x\n".repeat(LIMIT / 2 - 40_000));
  // Frames of version 9, which the broker cannot read.
  for (let i = 0; i < 1000; i++) await converse(endpoint, Buffer.from([9, 0, 0, 0, 0]));
  assert.ok(statSync(path).size <= LIMIT);
  assert.ok(statSync(`${path}.1`).size <= LIMIT);
  child.kill("SIGTERM");
  await once(child, "exit");
  assert.match(readFileSync(path, "utf8"), /"type":"broker-stopped"/);
});

test("refusals and names that are none make a few short lines, with the number that each stands for", async (t) => {
  const world = await createWorld(t);
  const broker = await world.startBroker(["--hello-rate", "0"]);
  const name = `Ä${"y".repeat(50_000)}`;
  for (let i = 0; i < 200; i++) assert.equal(refusedIn(await sayHello(broker.endpoint, { serviceName: name })).code, 6);
  await broker.stop();
  const lines = broker
    .log()
    .split("\n")
    .filter((line) => line.includes("hello-refused"))
    .map((line) => JSON.parse(line) as { service: string; count?: number; msg: string });
  assert.equal(lines.length, 17);
  assert.equal(
    lines.reduce((sum, { count = 1 }) => sum + count, 0),
    200,
  );
  for (const { service, msg } of lines) {
    assert.equal(service, `Ä${"y".repeat(63)}…`);
    assert.ok(msg.length < 200);
  }
  assert.match(lines.at(-1)?.msg ?? "", /\(the last of 184 like it\)$/);
  const record = readFileSync(join(world.logs, "lifecycle.jsonl"), "utf8");
  assert.ok(!record.includes("y".repeat(65)) && record.includes('yyy…"'));
});

/** A pipe that is full and has a reader who does not read: this process. */
function fullPipe(t: TestContext, world: World): number {
  const path = join(world.root, "pipe");
  const { O_RDWR, O_NONBLOCK } = constants;
  const fd = openSync(path, O_RDWR | O_NONBLOCK);
  t.after(() => closeSync(fd));
  for (const size of [4096, 1])
    for (;;) {
      try {
        writeSync(fd, Buffer.alloc(size));
      } catch {
        break;
      }
    }
  return fd;
}

// It waited for ever: a supervisor that reads no logs could not stop it.
test("a broker ends although no process reads its full stdout and stderr", async (t) => {
  const world = await createWorld(t);
  await world.run("mkfifo", [join(world.root, "pipe")]);
  const pipe = fullPipe(t, world);
  const endpoint = join(world.runtime, "b.sock");
  const child = world.track(
    spawn(process.execPath, [RPB, "serve", "--socket", endpoint, "--log-level", "debug"], {
      env: world.env,
      stdio: ["ignore", pipe, pipe],
    }),
  );
  const ended = once(child, "exit");
  while ((await rpb(world, ["healthz", "--socket", endpoint])).code !== 0) assert.equal(child.exitCode, null);
  child.kill("SIGTERM");
  assert.deepEqual(await ended, [0, null]);
});

for (const args of [
  ["no-such-verb"],
  ["connect", "nobody", "1.0.0"],
  ["status", "--socket", "/nowhere.sock", "--json"],
])
  test(`rpb ${args.join(" ")} ends although no process reads its full stderr, and its exit status stays`, async (t) => {
    const world = await createWorld(t);
    await world.run("mkfifo", [join(world.root, "pipe")]);
    const expected = (await rpb(world, args)).code;
    const child = world.track(
      spawn(process.execPath, [RPB, ...args], { env: world.env, stdio: ["ignore", "ignore", fullPipe(t, world)] }),
    );
    assert.deepEqual(await once(child, "exit"), [expected, null]);
    assert.notEqual(expected, 0);
  });
