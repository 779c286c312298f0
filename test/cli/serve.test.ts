import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { encodeIdentitySidecar } from "../../src/model/identity-sidecar.ts";
import { refusedIn, sayHello } from "../support/peers/raw-peer.ts";
import { createWorld, modeOf, RPB } from "../support/world.ts";
import { defineProgram, rpb } from "../support/world-cli.ts";

test("serve says where it accepts, ends on SIGTERM with exit 0, and names the reason last", async (t) => {
  const world = await createWorld(t);
  const broker = await world.startBroker();
  assert.match(broker.endpoint, /rpb-v1-[0-9a-f]{16}-shared\.sock$/);
  assert.equal(modeOf(broker.endpoint), 0o600);
  const { code, stderr } = await broker.stop();
  assert.equal(code, 0);
  const last = JSON.parse(stderr.trimEnd().split("\n").at(-1) ?? "");
  assert.deepEqual(
    [last.type, last.reason, last.broker_pid, last.level],
    ["broker-stopped", "signal", broker.pid, "info"],
  );
  assert.ok(!existsSync(broker.endpoint));
});

test("a second broker at the same address exits with 75 and leaves the first alone", async (t) => {
  const world = await createWorld(t);
  const broker = await world.startBroker(["--instance", "explicit:ci"]);
  assert.match(broker.endpoint, /-inst-ci\.sock$/);
  const second = await rpb(world, ["serve", "--instance", "explicit:ci"]);
  assert.deepEqual([second.code, second.stdout], [75, ""]);
  assert.match(second.stderr, /^rpb: \[BROKER_ALREADY_RUNNING\] /m);
  assert.equal((await rpb(world, ["healthz", "--instance", "explicit:ci"])).code, 0);
  await broker.stop();
});

test("root needs the override to serve, and exactly the value 1", async (t) => {
  if (process.getuid?.() !== 0) return t.skip("needs root");
  const world = await createWorld(t);
  for (const value of ["", "0", "true"]) {
    const refused = await rpb(world, ["serve"], { env: { RUNNING_PROCESS_BROKER_ALLOW_PRIVILEGED: value } });
    assert.deepEqual([refused.code, refused.stdout], [77, ""]);
    assert.match(refused.stderr, /^rpb: \[PRIVILEGED_START\] .*uid 0.*RUNNING_PROCESS_BROKER_ALLOW_PRIVILEGED=1\n$/);
  }
  // Reading verbs run as anybody.
  assert.equal(
    (await rpb(world, ["service", "list"], { env: { RUNNING_PROCESS_BROKER_ALLOW_PRIVILEGED: "" } })).code,
    0,
  );
});

test("a broker whose stdout and stderr were closed goes on serving", async (t) => {
  const world = await createWorld(t);
  const child = world.track(
    spawn(process.execPath, [RPB, "serve"], { env: world.env, stdio: ["ignore", "pipe", "pipe"] }),
  );
  assert.ok(child.stdout !== null && child.stderr !== null);
  const [line] = await once(createInterface({ input: child.stdout }), "line");
  const endpoint = String(line).slice("ready ".length);
  child.stdout.destroy();
  child.stderr.destroy();
  // Each refusal is a line that nobody reads.
  for (let i = 0; i < 5; i++) assert.equal(refusedIn(await sayHello(endpoint, { serviceName: "none" })).code, 2);
  assert.equal((await rpb(world, ["readyz", "--socket", endpoint])).code, 0);
  child.kill("SIGTERM");
  assert.deepEqual(await once(child, "exit"), [0, null]);
});

test("a second signal ends a broker that waits for work in flight", async (t) => {
  const world = await createWorld(t, { leavesProcesses: true });
  defineProgram(world, "deaf", "deaf");
  const broker = await world.startBroker(["--instance", "private:deaf"]);
  const client = rpb(world, ["connect", "deaf", "1.0.0", "--no-start"]);
  await broker.logged(/backend-launching/);
  broker.process.kill("SIGTERM");
  await broker.logged(/broker-stopping/);
  broker.process.kill("SIGINT");
  const ended = await broker.ended;
  assert.equal(ended.code, 130);
  assert.match(ended.stderr.trimEnd().split("\n").at(-1) ?? "", /second SIGINT, ending at once/);
  assert.notEqual((await client).code, 0);
});

test("--max-connections ends it by itself, with exit 0 and its reason", async (t) => {
  const world = await createWorld(t);
  const broker = await world.startBroker(["--max-connections", "2"]);
  await sayHello(broker.endpoint, { serviceName: "none" });
  await sayHello(broker.endpoint, { serviceName: "none" });
  const ended = await broker.ended;
  assert.equal(ended.code, 0);
  assert.match(ended.stderr.trimEnd().split("\n").at(-1) ?? "", /"reason":"max-connections"/);
});

test("--hello-rate limits one process, and --instance says whose services are served", async (t) => {
  const world = await createWorld(t);
  defineProgram(world, "echo", "echo");
  const broker = await world.startBroker(["--instance", "shared", "--hello-rate", "1"]);
  const first = refusedIn(await sayHello(broker.endpoint, { serviceName: "echo" }));
  assert.deepEqual(
    [first.code, first.reason],
    [2, 'service "echo" belongs to broker instance "private:echo", this one is "shared"'],
  );
  assert.equal(refusedIn(await sayHello(broker.endpoint, { serviceName: "echo" })).reason, "Hello rate limit exceeded");
  await broker.stop();
});

test("--socket alone serves every instance; --log-level and --log-format shape what is said", async (t) => {
  const world = await createWorld(t);
  const socket = join(world.runtime, "any.sock");
  const broker = await world.startBroker(["--socket", socket, "--log-format", "pretty", "--log-level", "debug"]);
  assert.equal(broker.endpoint, socket);
  const status = JSON.parse((await rpb(world, ["status", "--json", "--socket", socket])).stdout);
  assert.equal(status.broker_instance, "launch");
  await broker.logged(/^\[.*DEBUG.*served an admin verb/);
  await broker.stop();
  assert.ok(!broker.log().includes('{"level"'));
});

test("--launch has backends running before anybody asks; what it cannot launch keeps it from nothing", async (t) => {
  const world = await createWorld(t);
  world.define({ serviceName: "reverse" });
  const flags = ["--launch", "none@1.0.0", "--launch", "reverse@1.0.0", "--launch", "reverse@1.0.1"];
  const broker = await world.startBroker(["--instance", "private:reverse", ...flags]);
  await broker.logged(/"version":"1\.0\.0".*"event":"ready"/);
  await broker.logged(/"version":"1\.0\.1".*"event":"ready"/);
  assert.match(broker.log(), /launching reverse 1\.0\.0 as the broker starts, as it was told: no backend of this/);
  const refusal = await broker.logged(/backend-not-launched/);
  assert.match(refusal, /"service":"none","version":"1\.0\.0","code":"SERVICE_UNKNOWN"/);
  // The Hello finds it running.
  const reached = JSON.parse((await rpb(world, ["connect", "reverse", "1.0.0", "--json"])).stdout);
  assert.match(broker.log(), new RegExp(`"pid":${reached.identity.pid},"event":"ready"`));
  await rpb(world, ["stop", "--instance", "private:reverse", "--with-backends"]);
  await broker.ended;
});

test("a launch that failed as the broker started is told to the next Hello, and only the one after it tries again", async (t) => {
  const world = await createWorld(t);
  world.define({ serviceName: "bad", binary: "exits-at-once.mjs" });
  const broker = await world.startBroker(["--instance", "private:bad", "--launch", "bad@1.0.0"]);
  await broker.logged(/backend-launch-failed/);
  for (let hello = 1; hello <= 2; hello++) {
    const { reason } = refusedIn(await sayHello(broker.endpoint, { serviceName: "bad", wantedVersion: "1.0.0" }));
    assert.match(reason, /^backend spawn failed: .*status 3.*cannot load the model/);
  }
  await broker.logged(/launching bad 1\.0\.0 for a Hello of pid \d+: the last launch failed/);
  assert.equal(broker.log().split('"type":"backend-launching"').length - 1, 2);
  await broker.stop();
});

test("a client's certificates reach the backend, past the broker that would only read them", async (t) => {
  const world = await createWorld(t);
  const report = join(world.root, "report.json");
  world.define({ serviceName: "svc", binary: "reports-itself.mjs", labels: { "exec.env.REPORT": report } });
  const certificates = join(world.root, "ca.pem");
  writeFileSync(certificates, "");
  const { code, stderr } = await rpb(world, ["connect", "svc", "1.0.0"], {
    env: { NODE_EXTRA_CA_CERTS: certificates },
  });
  assert.equal(code, 0, stderr);
  const { env } = JSON.parse(readFileSync(report, "utf8"));
  assert.equal(env.NODE_EXTRA_CA_CERTS, certificates);
  assert.equal(env.RUNNING_PROCESS_BROKER_NODE_EXTRA_CA_CERTS, undefined);
  const broker = world.processes().find((pid) => readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("\0serve\0"));
  const environment = readFileSync(`/proc/${broker}/environ`, "utf8").split("\0");
  assert.ok(environment.includes(`RUNNING_PROCESS_BROKER_NODE_EXTRA_CA_CERTS=${certificates}`));
  assert.ok(!environment.includes(`NODE_EXTRA_CA_CERTS=${certificates}`));
  await rpb(world, ["stop", "--instance", "private:svc", "--with-backends"]);
});

test("registered mode serves a backend that runs already, if it is the one that was named", async (t) => {
  const world = await createWorld(t);
  world.define({ serviceName: "reverse" });
  const owner = await world.startBroker(["--instance", "private:reverse"]);
  const reached = JSON.parse((await rpb(world, ["connect", "reverse", "1.0.0", "--json"])).stdout);
  const { identity } = reached;
  assert.equal(identity.endpoint.path, reached.endpoint);

  const socket = join(world.runtime, "registered.sock");
  const flags = [
    "--socket",
    socket,
    "--service",
    "reverse",
    "--version",
    "1.0.0",
    "--backend-endpoint",
    reached.endpoint,
  ];
  const sidecar = join(world.root, "identity.json");
  const { blake3: _, ...rest } = identity;
  const record = { ...rest, sha256: Buffer.from(identity.sha256, "hex") };
  writeFileSync(sidecar, encodeIdentitySidecar(record));
  for (const extra of [[], ["--backend-identity", sidecar]]) {
    const broker = await world.startBroker([...flags, ...extra]);
    const through = JSON.parse(
      (await rpb(world, ["connect", "reverse", "1.0.0", "--json", "--broker", socket])).stdout,
    );
    assert.equal(through.endpoint, reached.endpoint);
    await broker.stop();
  }

  writeFileSync(sidecar, encodeIdentitySidecar({ ...record, pid: process.pid }));
  const refused = await rpb(world, ["serve", ...flags, "--backend-identity", sidecar]);
  assert.deepEqual([refused.code, refused.stdout], [69, ""]);
  assert.match(refused.stderr, /^rpb: \[IDENTITY_MISMATCH\] /m);
  await rpb(world, ["stop", "--service", "reverse", "--with-backends"]);
  await owner.ended;
});

test("registered mode says which of its options are missing", async (t) => {
  const world = await createWorld(t);
  for (const [flags, text] of [
    [["--service", "x"], "registered mode also needs --version and --backend-endpoint"],
    [["--service", "x", "--version", "1.0.0"], "registered mode also needs --backend-endpoint"],
    [["--backend-identity", "/x"], "registered mode also needs --service and --version and --backend-endpoint"],
    [["--service", "x", "--version", "1.0.0", "--backend-endpoint", "/x", "--launch", "x@1.0.0"], "leave --launch out"],
    [["--handoff-endpoint", "/x"], "registered mode also needs --service and --version and --backend-endpoint"],
  ] as const) {
    const refused = await rpb(world, ["serve", ...flags]);
    assert.equal(refused.code, 2);
    assert.ok(refused.stderr.includes(text), refused.stderr);
  }
});
