import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, rmSync } from "node:fs";
import { test } from "node:test";
import { createWorld, RPB } from "../support/world.ts";
import { defineProgram, kill, rpb } from "../support/world-cli.ts";

test("connect starts what is missing once, status shows it, stop ends it all", async (t) => {
  const world = await createWorld(t);
  world.define({ serviceName: "reverse" });
  const first = JSON.parse((await rpb(world, ["connect", "reverse", "1.0.0", "--json"])).stdout);
  assert.deepEqual([first.route, first.startedBroker, first.attempts], ["negotiated", true, 1]);
  assert.deepEqual(
    [first.negotiated.daemonVersion, first.negotiated.connectionId, first.negotiated.protocol],
    ["1.0.0", 1, 1],
  );
  assert.ok(first.timings.totalMs >= first.timings.helloMs);
  assert.match(first.identity.exePath, /bin\/reverse\.mjs$/);
  assert.equal(first.identity.sha256.length, 64);

  const second = await rpb(world, ["connect", "reverse", "1.0.0"]);
  assert.equal(second.code, 0);
  assert.match(
    second.stdout,
    /^reverse 1\.0\.0: negotiated\n {2}endpoint {2}\/.*\n {2}time {6}[\d.]+ ms \(broker [\d.]+, hello [\d.]+, backend [\d.]+\)\n$/,
  );

  const status = await rpb(world, ["status"]);
  assert.equal(status.code, 0);
  assert.match(status.stdout, /^broker private:reverse, pid \d+, up \d+ s, accepting/);
  assert.match(status.stdout, new RegExp(`reverse +1\\.0\\.0 +${first.identity.pid} +running +${first.endpoint}`));

  const stop = await rpb(world, ["stop", "--all", "--with-backends"]);
  assert.deepEqual([stop.code, stop.stderr], [0, ""]);
  assert.match(stop.stdout, /^stopped broker \(pid \d+\) and its backends: \/.*-svc-reverse\.sock\n$/);
  assert.deepEqual(world.processes(), []);
});

test("verbs that read start nothing and say so when nothing runs", async (t) => {
  const world = await createWorld(t);
  defineProgram(world, "echo", "echo");
  for (const [args, code] of [
    [["status"], 69],
    [["status", "--json"], 69],
    [["status", "--all", "--json"], 69],
    [["status", "--service", "echo"], 69],
    [["healthz", "--service", "echo"], 69],
    [["readyz"], 69],
    [["service", "list"], 0],
    [["service", "show", "echo"], 0],
    [["service", "check", "echo"], 0],
    [["connect", "echo", "1.0.0", "--no-start"], 69],
    [["stop"], 0],
    [["stop", "--all"], 0],
  ] as const) {
    const result = await rpb(world, args);
    assert.equal(result.code, code, `${args.join(" ")}: ${result.stderr}`);
    if (code === 69) assert.match(result.stderr, /^rpb: \[BROKER_UNAVAILABLE\] no broker /, args.join(" "));
    if (args[0] === "stop") assert.match(result.stdout, /^not running/);
  }
  assert.deepEqual(world.processes(), []);
  assert.ok(!existsSync(world.runtime));
});

test("status --json is the broker's own answer, through option, service or environment", async (t) => {
  const world = await createWorld(t);
  defineProgram(world, "echo", "echo");
  const broker = await world.startBroker(["--instance", "private:echo"]);
  for (const [args, env] of [
    [["--socket", broker.endpoint], {}],
    [["--service", "echo"], {}],
    [["--instance", "private:echo"], {}],
    [[], { RUNNING_PROCESS_BROKER_V1_SOCKET: broker.endpoint }],
  ] as const) {
    const result = await rpb(world, ["status", "--json", ...args], { env });
    assert.deepEqual([result.code, result.stderr], [0, ""], args.join(" "));
    const status = JSON.parse(result.stdout);
    assert.deepEqual(
      [
        status.schema_version,
        status.command,
        status.broker_instance,
        status.broker_pid,
        status.accepting_hello,
        status.backends,
      ],
      [1, "status", "private:echo", broker.pid, true, []],
    );
  }
  const all = JSON.parse((await rpb(world, ["status", "--all", "--json"])).stdout);
  assert.deepEqual(
    [all.brokers.length, all.brokers[0].endpoint, all.brokers[0].status.broker_pid],
    [1, broker.endpoint, broker.pid],
  );
  await broker.stop();
});

test("a socket that a killed broker left is called stale, and the next broker replaces it", async (t) => {
  const world = await createWorld(t);
  const killed = await world.startBroker();
  killed.process.kill("SIGKILL");
  await killed.ended;
  assert.ok(existsSync(killed.endpoint));
  const status = await rpb(world, ["status"]);
  assert.equal(status.code, 69);
  assert.equal(
    status.stdout,
    `stale socket, no process listens (the next broker there replaces it)\n  ${killed.endpoint}\n`,
  );
  assert.match((await rpb(world, ["readyz"])).stderr, /its socket is stale/);
  assert.equal((await rpb(world, ["stop"])).stdout, `not running: ${killed.endpoint}\n`);
  const next = await world.startBroker();
  assert.equal(next.endpoint, killed.endpoint);
  await next.stop();
});

test("--pipe relays bytes both ways and nothing else", async (t) => {
  const world = await createWorld(t);
  defineProgram(world, "echo", "echo");
  const text = "0123456789".repeat(100_000);
  const result = await rpb(world, ["connect", "echo", "1.0.0", "--pipe"], { input: text });
  assert.equal(result.code, 0, result.stderr);
  assert.ok(result.stdout === text, `${result.stdout.length} of ${text.length} bytes came back`);
  assert.equal(result.stderr, "");
  // Such a daemon knows no probe.
  assert.equal(JSON.parse((await rpb(world, ["connect", "echo", "1.0.0", "--json"])).stdout).identity, null);
  await rpb(world, ["stop", "--all", "--with-backends"]);
});

test("stop leaves backends running unless told otherwise", async (t) => {
  const world = await createWorld(t);
  defineProgram(world, "echo", "echo");
  const broker = await world.startBroker(["--instance", "private:echo"]);
  const { endpoint } = JSON.parse((await rpb(world, ["connect", "echo", "1.0.0", "--json"])).stdout);
  const stop = await rpb(world, ["stop", "--service", "echo", "--json"]);
  assert.deepEqual(JSON.parse(stop.stdout), { endpoint: broker.endpoint, stopped: true, pid: broker.pid });
  // Ended when stop returns, not some time later.
  assert.equal(world.platform.processes.inspect(broker.pid), undefined);
  assert.equal((await broker.ended).code, 0);
  const backends = world.processes();
  assert.equal(backends.length, 1);
  assert.ok(existsSync(endpoint));
  await kill(world, backends[0] ?? 0);
  // The next broker of the instance clears away what was left of it; that is not this test's business.
  rmSync(world.runtime, { recursive: true });
});

test("what a client cannot get is an exit code and a reason, as text and as JSON", async (t) => {
  const world = await createWorld(t);
  defineProgram(world, "echo", "echo");
  for (const [args, env, code, name] of [
    [["none", "1.0.0"], {}, 78, "DEFINITION_NOT_FOUND"],
    [["echo", "1"], {}, 78, "VERSION_INVALID"],
    [["Echo", "1.0.0"], {}, 78, "NAME_INVALID"],
    [["echo", "1.0.0"], { RUNNING_PROCESS_DISABLE: "1" }, 69, "BROKER_DISABLED"],
    [["echo", "1.0.0"], { RUNNING_PROCESS_DISABLE: "yes" }, 2, "DISABLE_ENV_INVALID"],
  ] as const) {
    const result = await rpb(world, ["connect", ...args, "--json"], { env });
    assert.equal(result.code, code, name);
    assert.equal(JSON.parse(result.stdout).error.code, name);
    assert.ok(result.stderr.startsWith(`rpb: [${name}] `), result.stderr);
  }
  assert.deepEqual(world.processes(), []);
});

test("a launch that fails comes with the last words of the program and where they are", async (t) => {
  const world = await createWorld(t);
  world.define({ serviceName: "dies", binary: "exits-at-once.mjs" });
  const broker = await world.startBroker(["--instance", "private:dies"]);
  const result = await rpb(world, ["connect", "dies", "1.0.0"]);
  assert.equal(result.code, 69);
  assert.match(result.stderr, /^rpb: \[BACKEND_SPAWN_FAILED\] backend spawn failed: /);
  assert.match(result.stderr, /\n {2}try again in /);
  await broker.stop();
});

test("a program that reads only the beginning of the output does no harm", async (t) => {
  const world = await createWorld(t);
  const child = world.track(
    spawn(process.execPath, [RPB, "--help"], { env: world.env, stdio: ["ignore", "pipe", "pipe"] }),
  );
  child.stdout?.destroy();
  assert.deepEqual(await once(child, "exit"), [0, null]);
});
