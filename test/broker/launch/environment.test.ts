/** What a launched backend is given, and what it is not (spec: launch §3, §4). */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { createLaunching, type Launching } from "../../support/launching.ts";
import { converse, helloBytes, helloReply, negotiatedIn } from "../../support/peers/raw-peer.ts";

interface Report {
  readonly pid: number;
  readonly session: number;
  readonly argv: string[];
  readonly env: Record<string, string>;
  readonly cwd: string;
  readonly descriptors: Record<string, string>;
}

interface Launched extends Report {
  readonly pipe: string;
}

interface Options {
  readonly labels?: Record<string, string>;
  readonly trace?: { traceparent?: string; tracestate?: string };
  readonly version?: string;
}

async function launched(launching: Launching, serviceName: string, options: Options = {}): Promise<Launched> {
  const { world, broker } = launching;
  const report = join(world.root, `${serviceName}.json`);
  world.define({ serviceName, binary: "reports-itself.mjs", labels: { ...options.labels, "exec.env.REPORT": report } });
  const hello = helloBytes({ serviceName, wantedVersion: options.version ?? "1.0.0" }, options.trace);
  const { backendPipe } = negotiatedIn(helloReply(await converse(broker.endpoint, hello)));
  return { ...(JSON.parse(readFileSync(report, "utf8")) as Report), pipe: backendPipe };
}

const PREFIX = "RUNNING_PROCESS_BROKER_V1_";

/** Of a launch that a broker's own ancestor once was. */
const STALE = {
  [`${PREFIX}TRACEPARENT`]: "stale",
  [`${PREFIX}TRACESTATE`]: "stale",
  [`${PREFIX}SERVICE_NAME`]: "stale",
  [`${PREFIX}SESSION_TOKEN`]: "stale",
  RUNNING_PROCESS_BROKER_BINARY: "/stale",
  RUNNING_PROCESS_BROKER_LISTENER_FD: "77",
  RUNNING_PROCESS_BROKER_CONTROL_FD: "78",
  RUNNING_PROCESS_BROKER_ENDPOINT: "/stale",
  LISTEN_FDS: "2",
  LISTEN_PID: "1",
  LISTEN_FDNAMES: "stale",
  NOTIFY_SOCKET: "/stale",
};

test("the launch is described by the variables of the spec and three of ours, and the rest is the broker's own", async (t) => {
  const launching = await createLaunching(t, { ...STALE, KEPT: "as it was" });
  const { env, pipe } = await launched(launching, "svc", { version: "1.2.3-rc.1", labels: { "exec.bind": "backend" } });
  assert.deepEqual(env, {
    ...launching.world.env,
    KEPT: "as it was",
    REPORT: join(launching.world.root, "svc.json"),
    [`${PREFIX}SERVICE_NAME`]: "svc",
    [`${PREFIX}SERVICE_VERSION`]: "1.2.3-rc.1",
    [`${PREFIX}BACKEND_PIPE`]: pipe,
    [`${PREFIX}BACKEND_NAMESPACE`]: "private:svc",
    [`${PREFIX}INSTANCE`]: "private:svc",
    RUNNING_PROCESS_BROKER_BINARY: join(launching.world.root, "bin/reports-itself.mjs"),
    RUNNING_PROCESS_BROKER_CONTROL_FD: "3",
    RUNNING_PROCESS_BROKER_ENDPOINT: launching.broker.endpoint,
  });
});

test("a listener of the broker's and the control channel are announced by their numbers", async (t) => {
  const launching = await createLaunching(t);
  const { env } = await launched(launching, "svc", { labels: { "exec.bind": "broker" } });
  assert.equal(env.RUNNING_PROCESS_BROKER_LISTENER_FD, "3");
  assert.equal(env.RUNNING_PROCESS_BROKER_CONTROL_FD, "4");
  assert.deepEqual([env.LISTEN_FDS, env.LISTEN_PID], [undefined, undefined]);
});

test("a daemon that answers no probe gets no control channel", async (t) => {
  const launching = await createLaunching(t);
  const labels = { "exec.bind": "backend", "exec.ready": "connect" };
  const { env, descriptors } = await launched(launching, "svc", { labels });
  assert.equal(env.RUNNING_PROCESS_BROKER_CONTROL_FD, undefined);
  assert.equal(env.RUNNING_PROCESS_BROKER_ENDPOINT, undefined);
  assert.deepEqual(socketsIn(descriptors), []);
});

test("the trace context of the Hello that caused the launch is passed on, each part when there is one", async (t) => {
  const launching = await createLaunching(t, STALE);
  const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  const both = await launched(launching, "both", { trace: { traceparent, tracestate: "vendor=1" } });
  assert.equal(both.env[`${PREFIX}TRACEPARENT`], traceparent);
  assert.equal(both.env[`${PREFIX}TRACESTATE`], "vendor=1");
  const one = await launched(launching, "one", { trace: { traceparent } });
  assert.equal(one.env[`${PREFIX}TRACEPARENT`], traceparent);
  assert.equal(one.env[`${PREFIX}TRACESTATE`], undefined);
});

test("a trace context that cannot be a variable does not fail the launch", async (t) => {
  const launching = await createLaunching(t);
  const { env } = await launched(launching, "svc", { trace: { traceparent: "a\0b", tracestate: "c\0d" } });
  assert.deepEqual([env[`${PREFIX}TRACEPARENT`], env[`${PREFIX}TRACESTATE`]], [undefined, undefined]);
});

test("variables, arguments and working directory come from the definition's labels", async (t) => {
  const launching = await createLaunching(t, { COLOUR: "broker's" });
  const { root } = launching.world;
  const { env, argv, cwd, pipe } = await launched(launching, "svc", {
    version: "4.5.6",
    labels: {
      "exec.env.COLOUR": "definition's",
      "exec.env.EMPTY": "",
      "exec.args": JSON.stringify(["--at={endpoint}", "{service} {version}", "$HOME `id`", "", "{other}"]),
      "exec.cwd": root,
    },
  });
  assert.deepEqual([env.COLOUR, env.EMPTY], ["definition's", ""]);
  assert.deepEqual(argv.slice(2), [`--at=${pipe}`, "svc 4.5.6", "$HOME `id`", "", "{other}"]);
  assert.equal(cwd, root);
});

test("a backend leads a session of its own, in the root directory unless told otherwise", async (t) => {
  const launching = await createLaunching(t);
  const { pid, session, cwd } = await launched(launching, "svc");
  assert.equal(session, pid);
  assert.equal(cwd, "/");
});

test("a backend gets the null device, its log, its listener, its control channel, and nothing of the broker's", async (t) => {
  const launching = await createLaunching(t);
  const { world } = launching;
  // A second launch: by now the broker holds a watch, and a connection that waits while it launches.
  await launched(launching, "first");
  for (const bind of ["broker", "backend"]) {
    const { descriptors } = await launched(launching, bind, { labels: { "exec.bind": bind } });
    const { 0: stdin, 1: stdout, 2: stderr, ...others } = descriptors;
    const log = join(world.logs, `${bind}-1.0.0.log`);
    assert.deepEqual([stdin, stdout, stderr], ["/dev/null", log, log]);
    assert.deepEqual(socketsIn(descriptors), bind === "broker" ? ["3", "4"] : ["3"]);
    // What is left is Node's own: event descriptors and pipes to itself.
    const foreign = Object.values(others).filter((target) => !isNodesOwn(target) && !target.startsWith("socket:"));
    assert.deepEqual(foreign, []);
  }
});

/** Numbers of the descriptors that are sockets. */
function socketsIn(descriptors: Record<string, string>): string[] {
  return Object.keys(descriptors).filter((fd) => descriptors[fd]?.startsWith("socket:"));
}

function isNodesOwn(target: string): boolean {
  return /^anon_inode:\[(eventpoll|eventfd|io_uring)\]$|^pipe:|^\/dev\/null$/.test(target);
}
