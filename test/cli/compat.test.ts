import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, watch } from "node:fs";
import { basename, dirname, join } from "node:path";
import { test } from "node:test";
import { decodeServiceDefinition } from "../../src/model/service-definition.ts";
import { refusedIn, sayHello } from "../support/peers/raw-peer.ts";
import { COMPAT, createWorld, type World } from "../support/world.ts";
import { compat, defineProgram } from "../support/world-cli.ts";
import { createCli } from "./support/cli.ts";

test("the plain rows of the command table", async (t) => {
  const { compat: run } = createCli(t);
  for (const [args, code, out, err] of [
    [["--version"], 0, /^running-process-broker-v1 \d+\.\d+\.\d+\n$/, /^$/],
    [["-V"], 0, /^running-process-broker-v1 /, /^$/],
    [["--help"], 0, /^usage: /, /^$/],
    [["-h"], 0, /^usage: /, /^$/],
    [[], 2, /^$/, /^no broker command provided\nusage: /],
    [["frob"], 2, /^$/, /^unsupported argument "frob"\nusage: /],
    [["toString"], 2, /^$/, /^unsupported argument "toString"\n/],
    [["status"], 0, /^broker_instance: local\naccepting_hello: false\n$/, /^$/],
    [["healthz"], 0, /^ok\n$/, /^$/],
    [["readyz"], 1, /^not ready\n$/, /^$/],
    [["status", "--socket"], 2, /^$/, /^--socket requires a socket path or pipe name\n$/],
    [["--socket", "/nowhere/s", "status"], 1, /^$/, /^admin request to "\/nowhere\/s" failed: /],
    [["servicedef"], 2, /^$/, /^no servicedef command provided\n/],
    [["servicedef", "frob"], 2, /^$/, /^unsupported servicedef command "frob"\n/],
    [["servicedef", "install"], 2, /^$/, /^--service is required for servicedef install\n$/],
    [["servicedef", "install", "--service", "x"], 2, /^$/, /^--binary-path is required for servicedef install\n$/],
    [["--serve"], 2, /^$/, /^--serve requires a socket path/],
    [["--serve", "/s"], 2, /^$/, /^--service is required for --serve\n$/],
    [["--serve", "/s", "--service", "x"], 2, /^$/, /^--version is required for --serve\n$/],
    [
      ["--serve", "/s", "--service", "x", "--version", "1.0.0"],
      2,
      /^$/,
      /^--backend-endpoint is required for --serve\n$/,
    ],
    [["--serve-launch"], 2, /^$/, /^--serve-launch requires a socket path/],
    [["--serve-launch", "/s", "--max-connections", "0"], 2, /^$/, /^--max-connections must be/],
  ] as const) {
    const result = await run(args);
    assert.equal(result.code, code, args.join(" "));
    assert.match(result.out, out, args.join(" "));
    assert.match(result.err, err, args.join(" "));
  }
});

test("the local status has the frozen fields", async (t) => {
  const { out } = await createCli(t).compat(["status", "--json"]);
  const status = JSON.parse(out);
  assert.ok(out.endsWith("}\n"));
  assert.deepEqual(
    [
      status.schema_version,
      status.command,
      status.broker_instance,
      status.accepting_hello,
      status.uptime_seconds,
      status.connections_open,
      status.fd_pressure,
      status.backends,
    ],
    [1, "status", "local", false, 0, 0, { demoted: false }, []],
  );
  assert.equal(typeof status.inode_pressure.supported, "boolean");
});

test("root gets nothing at all without the override, not even the version", async (t) => {
  if (process.getuid?.() !== 0) return t.skip("needs root");
  const { compat: run } = createCli(t);
  for (const args of [["--version"], ["status"], ["--serve-launch", "/s"], []]) {
    const result = await run(args, { env: { RUNNING_PROCESS_BROKER_ALLOW_PRIVILEGED: "0" } });
    assert.deepEqual([result.code, result.out], [1, ""]);
    assert.match(result.err, /RUNNING_PROCESS_BROKER_ALLOW_PRIVILEGED/);
  }
});

test("servicedef install writes what it is told, over what was there, without labels", async (t) => {
  const cli = createCli(t);
  const directory = join(cli.root, "config/running-process/services");
  const install = ["servicedef", "install", "--service", "demo", "--binary-path", "/opt/demo"];
  assert.deepEqual(await cli.compat(install), {
    code: 0,
    out: `installed ${directory}/demo.servicedef (service-definition dir source: platform-default)\n`,
    err: "",
  });
  const more = [
    "--isolation",
    "explicit",
    "--explicit-instance",
    "ci",
    "--per-version-binary-dir",
    "/opt",
    "--min-version",
    "1.0.0",
    "--allow-version",
    "1.0.0",
    "--allow-version",
    "2.0.0",
    "--json",
  ];
  const json = JSON.parse((await cli.compat([...install, ...more])).out);
  assert.deepEqual(json, {
    service_name: "demo",
    path: `${directory}/demo.servicedef`,
    dir: directory,
    dir_source: "platform-default",
  });
  const { exec, handoff, ...definition } = decodeServiceDefinition(readFileSync(json.path), "demo");
  assert.deepEqual(definition, {
    serviceName: "demo",
    binaryPath: "/opt/demo",
    isolation: "explicit",
    explicitInstance: "ci",
    perVersionBinaryDir: "/opt",
    minVersion: "1.0.0",
    versionAllowList: ["1.0.0", "2.0.0"],
    labels: {},
  });
  assert.equal(exec.bind, "backend");
});

test("servicedef install names its directory's source, and fails with 1 for what no definition may hold", async (t) => {
  const cli = createCli(t);
  const install = ["servicedef", "install", "--service", "demo", "--binary-path", "/opt/demo", "--json"];
  const flag = JSON.parse((await cli.compat([...install, "--service-def-dir", "defs"])).out);
  assert.deepEqual([flag.dir, flag.dir_source], [join(cli.root, "defs"), "flag:--service-def-dir"]);
  const variable = JSON.parse(
    (await cli.compat(install, { env: { RUNNING_PROCESS_SERVICE_DEF_DIR: join(cli.root, "env") } })).out,
  );
  assert.deepEqual([variable.dir, variable.dir_source], [join(cli.root, "env"), "env:RUNNING_PROCESS_SERVICE_DEF_DIR"]);
  for (const [extra, code, text] of [
    [["--service", "demo", "--binary-path", "opt"], 1, /^servicedef install failed: .*must be absolute/],
    [["--service", "Demo", "--binary-path", "/opt"], 1, /^servicedef install failed: .*upper-case/],
    [
      ["--service", "demo", "--binary-path", "/opt", "--isolation", "explicit"],
      1,
      /^servicedef install failed: .*explicit_instance is required/,
    ],
    [
      ["--service", "demo", "--binary-path", "/opt", "--isolation", "none"],
      2,
      /^--isolation must be private, shared or explicit/,
    ],
  ] as const) {
    const result = await cli.compat(["servicedef", "install", ...extra]);
    assert.equal(result.code, code);
    assert.match(result.err, text);
  }
});

/** Starts a serving command, which says nothing on stdout, and resolves once its socket is there. */
async function startServing(
  world: World,
  socket: string,
  args: readonly string[],
): Promise<{ ended: Promise<{ code: number; stderr: string }>; stop(): void }> {
  mkdirSync(dirname(socket), { recursive: true, mode: 0o700 });
  const watcher = watch(dirname(socket));
  const child = world.track(
    spawn(process.execPath, [COMPAT, ...args], { env: world.env, stdio: ["ignore", "pipe", "pipe"] }),
  );
  let [stdout, stderr] = ["", ""];
  child.stdout?.on("data", (chunk) => {
    stdout += chunk;
  });
  child.stderr?.on("data", (chunk) => {
    stderr += chunk;
  });
  const ended = once(child, "close").then(([code]) => {
    assert.equal(stdout, "");
    return { code, stderr };
  });
  while (!existsSync(socket))
    await Promise.race([once(watcher, "change"), ended.then((end) => assert.fail(`it ended: ${end.stderr}`))]);
  watcher.close();
  return { ended, stop: () => child.kill("SIGTERM") };
}

test("--serve-launch launches, answers admin commands, and ends on SIGTERM", async (t) => {
  const world = await createWorld(t);
  defineProgram(world, "echo", "echo");
  const socket = join(world.runtime, "c.sock");
  const broker = await startServing(world, socket, ["--serve-launch", socket]);
  const status = await compat(world, ["status", "--json", "--socket", socket]);
  assert.equal(JSON.parse(status.stdout).broker_instance, "launch");
  assert.equal(
    (await compat(world, ["status", "--socket", socket])).stdout,
    "broker_instance: launch\naccepting_hello: true\n",
  );
  assert.deepEqual(await compat(world, ["readyz"], { env: { RUNNING_PROCESS_BROKER_V1_SOCKET: socket } }), {
    code: 0,
    signal: null,
    stdout: "ready\n",
    stderr: "",
  });
  const reached = await world.run(process.execPath, [
    join(dirname(COMPAT), "rpb.cjs"),
    "connect",
    "echo",
    "1.0.0",
    "--json",
    "--broker",
    socket,
  ]);
  assert.equal(JSON.parse(reached.stdout).negotiated.daemonVersion, "1.0.0");
  await world.run(process.execPath, [join(dirname(COMPAT), "rpb.cjs"), "stop", "--socket", socket, "--with-backends"]);
  assert.equal((await broker.ended).code, 0);
});

test("serving commands fail with 1 and say what failed", async (t) => {
  const world = await createWorld(t);
  const socket = join(world.runtime, "c.sock");
  const broker = await startServing(world, socket, ["--serve-launch", socket]);
  const second = await compat(world, ["--serve-launch", socket]);
  assert.equal(second.code, 1);
  assert.match(second.stderr, /^serve-launch failed: another broker is running at /);
  const registered = await compat(world, [
    "--serve",
    `${socket}2`,
    "--service",
    "none",
    "--version",
    "1.0.0",
    "--backend-endpoint",
    "/x",
  ]);
  assert.equal(registered.code, 1);
  assert.match(registered.stderr, /^serve failed: service definition was not found/);
  broker.stop();
  await broker.ended;
});

/** A socket file is there a moment before it accepts, and trying it out would use up the one connection. */
async function sayHelloOnceUp(socket: string, hello: { serviceName: string }): ReturnType<typeof sayHello> {
  for (;;) {
    try {
      return await sayHello(socket, hello);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ECONNREFUSED") throw error;
    }
  }
}

test("--serve-once answers one Hello with an unknown service and ends", async (t) => {
  const world = await createWorld(t);
  for (const [hello, reason] of [
    [{ serviceName: "demo" }, "service is not registered"],
    [{ serviceName: "Demo" }, "invalid service_name"],
  ] as const) {
    const socket = join(world.runtime, "o.sock");
    const once_ = await startServing(world, socket, ["--serve-once", socket]);
    assert.equal(refusedIn(await sayHelloOnceUp(socket, hello)).reason, reason);
    assert.deepEqual(await once_.ended, { code: 0, stderr: "" });
    assert.ok(!existsSync(socket), basename(socket));
  }
});
