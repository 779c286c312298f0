/** The admin verbs of a running broker (spec: admin §1, §2, §3.1). */
import assert from "node:assert/strict";
import { rmSync, statfsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import test from "node:test";
import { encodeMessage } from "../../../src/wire/codec.ts";
import { encodeRequest } from "../../../src/wire/envelope.ts";
import {
  type AdminReply,
  AdminReplyKind,
  type AdminRequest,
  AdminRequestSchema,
  AdminVerb,
} from "../../../src/wire/messages.ts";
import type { Init } from "../../../src/wire/schema.ts";
import {
  createLaunching,
  launchingIn,
  makeFifo,
  order,
  processEnd,
  startLaunchingBroker,
} from "../../support/launching.ts";
import {
  adminReply,
  converse,
  negotiatedIn,
  onlyFrame,
  openRaw,
  refusedIn,
  sayHello,
} from "../../support/peers/raw-peer.ts";
import { createWorld, type RunningBroker } from "../../support/world.ts";

type Request = Init<AdminRequest>;

function requestBytes(request: Request): Buffer {
  return encodeRequest({ payloadProtocol: 0xad01, payload: encodeMessage(AdminRequestSchema, request), requestId: 1n });
}

async function ask(broker: RunningBroker, request: Request): Promise<AdminReply> {
  return adminReply(await converse(broker.endpoint, requestBytes(request)));
}

/** The parts of a reply that say something. */
async function answer(broker: RunningBroker, request: Request): Promise<[number, string, number, string]> {
  const { kind, body, exitCode, contentType } = await ask(broker, request);
  return [kind, body, exitCode, contentType];
}

interface Status {
  readonly [key: string]: unknown;
  readonly backends: Record<string, unknown>[];
}

async function status(broker: RunningBroker): Promise<Status> {
  return JSON.parse((await ask(broker, { verb: AdminVerb.STATUS, json: true })).body) as Status;
}

function types(object: object): Record<string, string> {
  return Object.fromEntries(
    Object.entries(object).map(([key, value]) => [key, Array.isArray(value) ? "array" : typeof value]),
  );
}

test("status as JSON has the frozen keys with their types, and every backend in its row", async (t) => {
  const launching = await createLaunching(t);
  const { world, broker } = launching;
  const before = await world.platform.clock.wallMs();
  world.define({ serviceName: "svc", binary: "obeys.mjs" });
  const { backendPipe } = await launching.negotiated("svc", "2.0.1");
  const reply = await ask(broker, { verb: AdminVerb.STATUS, json: true });
  assert.deepEqual([reply.kind, reply.exitCode, reply.contentType], [AdminReplyKind.JSON, 0, "application/json"]);
  const {
    endpoint,
    launching: inProgress,
    shutting_down,
    draining,
    crashes,
    ...frozen
  } = JSON.parse(reply.body) as Status & { draining: unknown; crashes: unknown };
  assert.deepEqual(
    { endpoint, inProgress, shutting_down, draining, crashes },
    { endpoint: broker.endpoint, inProgress: 0, shutting_down: false, draining: [], crashes: [] },
  );
  assert.deepEqual(types(frozen), {
    schema_version: "number",
    command: "string",
    generated_at_unix_ms: "number",
    broker_instance: "string",
    broker_pid: "number",
    uptime_seconds: "number",
    accepting_hello: "boolean",
    connections_open: "number",
    fd_pressure: "object",
    inode_pressure: "object",
    backends: "array",
  });
  const { schema_version, command, broker_instance, broker_pid, accepting_hello, fd_pressure } = frozen;
  assert.deepEqual(
    { schema_version, command, broker_instance, broker_pid, accepting_hello, fd_pressure },
    {
      schema_version: 1,
      command: "status",
      broker_instance: "launch",
      broker_pid: broker.pid,
      accepting_hello: true,
      fd_pressure: { demoted: false },
    },
  );
  assert.ok(Number.isInteger(frozen.generated_at_unix_ms) && Number(frozen.generated_at_unix_ms) >= Math.floor(before));
  assert.ok(Number(frozen.uptime_seconds) > 0);
  const [row, ...others] = frozen.backends;
  assert.ok(row !== undefined && others.length === 0);
  const { last_active_unix_ms, ...rest } = row;
  assert.deepEqual(rest, {
    service_name: "svc",
    service_version: "2.0.1",
    pid: launching.pids("svc")[0],
    backend_pipe: backendPipe,
    state: "running",
    adopted: false,
  });
  assert.ok(Number.isInteger(last_active_unix_ms) && Number(last_active_unix_ms) >= Math.floor(before));
});

test("status counts the inodes of the file system its files are on", async (t) => {
  const { world, broker } = await createLaunching(t);
  const pressure = (await status(broker)).inode_pressure as Record<string, number | boolean>;
  const { files } = statfsSync(world.runtime);
  if (files === 0) return assert.deepEqual(types(pressure), { supported: "boolean", detail: "string" });
  const { inodes_total, inodes_free, inodes_used, used_ratio } = pressure;
  assert.deepEqual([pressure.supported, inodes_total], [true, files]);
  assert.equal(Number(inodes_free) + Number(inodes_used), files);
  assert.ok(Number(used_ratio) >= 0 && Number(used_ratio) <= 1);
  assert.equal(Object.keys(pressure).length, 5);
});

test("status shows connections that are open, without being delayed by them", async (t) => {
  const { broker } = await createLaunching(t);
  const idle = [await openRaw(broker.endpoint), await openRaw(broker.endpoint)];
  // The third is the one that asks.
  assert.equal((await status(broker)).connections_open, 3);
  for (const socket of idle) socket.destroy();
});

test("a backend that ended is not shown as running", async (t) => {
  const launching = await createLaunching(t);
  const { world, broker } = launching;
  world.define({ serviceName: "svc", binary: "obeys.mjs" });
  await launching.negotiated("svc");
  process.kill(launching.pids("svc")[0] as number, "SIGKILL");
  await broker.logged(/running -> absent/);
  assert.deepEqual((await status(broker)).backends, []);
});

test("the text verbs answer with their frozen texts, and verbs nobody knows with exit code 2", async (t) => {
  const world = await createWorld(t);
  const broker = await world.startBroker(["--instance", "explicit:one"]);
  const text = (body: string, exit = 0) => [AdminReplyKind.TEXT, body, exit, "text/plain"];
  const status = "broker_instance: explicit:one\naccepting_hello: true\n";
  assert.deepEqual(await answer(broker, { verb: AdminVerb.STATUS }), text(status));
  assert.deepEqual(await answer(broker, { verb: AdminVerb.HEALTHZ }), text("ok\n"));
  assert.deepEqual(await answer(broker, { verb: AdminVerb.READYZ }), text("ready\n"));
  // Only STATUS looks at the wish for JSON.
  assert.deepEqual(await answer(broker, { verb: AdminVerb.HEALTHZ, json: true }), text("ok\n"));
  for (const verb of [0, 10, 20, 24, 1000] as AdminVerb[])
    assert.deepEqual(await answer(broker, { verb }), text("unsupported admin verb\n", 2));
  assert.equal((await broker.stop()).code, 0);
});

test("an admin reply repeats the request's id and trace strings", async (t) => {
  const { broker } = await createLaunching(t);
  const ids = { requestId: 2n ** 64n - 1n, traceparent: "00-x", tracestate: "a=b" };
  const payload = encodeMessage(AdminRequestSchema, { verb: AdminVerb.HEALTHZ });
  const reply = onlyFrame(await converse(broker.endpoint, encodeRequest({ payloadProtocol: 0xad01, payload, ...ids })));
  const { requestId, traceparent, tracestate, kind, payloadProtocol } = reply;
  assert.deepEqual({ requestId, traceparent, tracestate }, ids);
  assert.deepEqual([kind, payloadProtocol], [1, 0xad01]);
});

test("SHUTDOWN is answered, ends the broker with exit code 0 and leaves its backends alone", async (t) => {
  const world = await createWorld(t);
  const broker = await startLaunchingBroker(world);
  world.define({ serviceName: "svc", binary: "obeys.mjs" });
  const { backendPipe } = negotiatedIn(await sayHello(broker.endpoint, { serviceName: "svc" }));
  const pid = launchingIn(world, broker).pids("svc")[0] as number;
  const stopping = [AdminReplyKind.TEXT, "broker shutting down\n", 0, "text/plain"];
  assert.deepEqual(await answer(broker, { verb: AdminVerb.SHUTDOWN }), stopping);
  assert.equal((await broker.ended).code, 0);
  assert.match(broker.log(), new RegExp(`"type":"broker-stopped".*"reason":"requested".*"backend_pids":\\[${pid}\\]`));
  await order(backendPipe, "remove-socket");
  process.kill(pid, "SIGKILL");
  await processEnd(world, pid);
  rmSync(`${backendPipe}.manifest`);
});

test("SHUTDOWN with_backends ends every backend before the broker", async (t) => {
  const world = await createWorld(t);
  const broker = await startLaunchingBroker(world);
  world.define({ serviceName: "svc", binary: "obeys.mjs" });
  for (const wantedVersion of ["1.0.0", "2.0.0"])
    negotiatedIn(await sayHello(broker.endpoint, { serviceName: "svc", wantedVersion }));
  const backends = launchingIn(world, broker).pids("svc");
  assert.equal(backends.length, 2);
  await ask(broker, { verb: AdminVerb.SHUTDOWN, withBackends: true });
  assert.equal((await broker.ended).code, 0);
  assert.deepEqual(world.processes(), []);
});

test("a broker that stops says so to status and readyz, and refuses Hellos, until the work it has is done", async (t) => {
  const world = await createWorld(t);
  const broker = await startLaunchingBroker(world);
  const started = makeFifo(join(world.root, "started"));
  const go = makeFifo(join(world.root, "go"));
  world.define({ serviceName: "svc", binary: "waits.mjs", labels: { "exec.env.STARTED": started, "exec.env.GO": go } });
  const inWork = sayHello(broker.endpoint, { serviceName: "svc" });
  await readFile(started);
  await ask(broker, { verb: AdminVerb.SHUTDOWN, withBackends: true });
  await broker.logged(/"broker-stopping"/);
  assert.deepEqual(await answer(broker, { verb: AdminVerb.READYZ }), [
    AdminReplyKind.TEXT,
    "not ready\n",
    1,
    "text/plain",
  ]);
  assert.equal((await ask(broker, { verb: AdminVerb.HEALTHZ })).body, "ok\n");
  const text = "broker_instance: launch\naccepting_hello: false\n";
  assert.equal((await ask(broker, { verb: AdminVerb.STATUS })).body, text);
  const { accepting_hello, shutting_down, launching } = await status(broker);
  assert.deepEqual(
    { accepting_hello, shutting_down, launching },
    { accepting_hello: false, shutting_down: true, launching: 1 },
  );
  const refused = refusedIn(await sayHello(broker.endpoint, { serviceName: "svc" }));
  assert.deepEqual([refused.code, refused.reason], [5, "broker is shutting down"]);
  await writeFile(go, "");
  negotiatedIn(await inWork);
  assert.equal((await broker.ended).code, 0);
  assert.deepEqual(world.processes(), []);
});
