/**
 * Daemons that know nothing of brokers, written the plainest way there is: accept, read, answer, close. They are given sockets that
 * block, and the only connections that they ever see are those of clients. A listener with O_NONBLOCK made their first accept fail;
 * a connection on which nothing came, or an identity probe, made them die of an answer that no process read.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, utimesSync } from "node:fs";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { createLaunching, fileCondition, launchingIn, processEnd } from "../../support/launching.ts";
import { converse } from "../../support/peers/raw-peer.ts";
import { descriptorsIn, flagsOf, O_NONBLOCK } from "../../support/process-facts.ts";
import { createWorld, type Finished, RPB, type RunningBroker, type World } from "../../support/world.ts";

const KINDS = {
  LISTEN_FDS: { "exec.ready": "listen" },
  RUNNING_PROCESS_BROKER_LISTENER_FD: { "exec.ready": "listen", "exec.args": "[]", "exec.env.BY_OWN_VARIABLE": "1" },
  "a path in its arguments": { "exec.bind": "backend", "exec.ready": "connect", "exec.args": '["{endpoint}"]' },
} as const;

function define(world: World, serviceName: string, labels: Record<string, string>): () => string[] {
  const file = join(world.root, `${serviceName}.journal`);
  world.define({ serviceName, binary: "accepts-blocking.py", labels: { "exec.env.JOURNAL": file, ...labels } });
  return () => (existsSync(file) ? readFileSync(file, "utf8").trimEnd().split("\n") : []);
}

const asked = async (pipe: string, text: string): Promise<string> => String(await converse(pipe, Buffer.from(text)));

for (const [what, labels] of Object.entries(KINDS)) {
  test(`${what}: a python accept loop serves client after client`, async (t) => {
    const launching = await createLaunching(t);
    const journal = define(launching.world, "svc", labels);
    for (const text of ["one", "two", "three"]) {
      const { backendPipe } = await launching.negotiated("svc");
      assert.equal(await asked(backendPipe, text), text.toUpperCase());
    }
    assert.equal(launching.pids("svc").length, 1);
    assert.deepEqual(journal(), [
      ...(what.startsWith("a path") ? [] : ["listener nonblocking=False"]),
      ...["one", "two", "three"].map((text) => `accepted b'${text}'`),
    ]);
  });
}

test("exec.nonblocking = true gives the listener with O_NONBLOCK, and a change of it starts another process", async (t) => {
  const launching = await createLaunching(t);
  const labels = { "exec.ready": "listen", "exec.env.WAITS": "1" };
  for (const [value, flag] of [
    ["true", "True"],
    ["false", "False"],
  ] as const) {
    const journal = define(launching.world, "svc", { ...labels, "exec.nonblocking": value });
    const { backendPipe } = await launching.negotiated("svc");
    assert.equal(await asked(backendPipe, value), value.toUpperCase());
    assert.equal(
      journal()
        .filter((line) => line.startsWith("listener"))
        .at(-1),
      `listener nonblocking=${flag}`,
    );
  }
  assert.equal(new Set(launching.pids("svc")).size, 2);
});

test("a python backend that answers probes gets listener and control channel blocking", async (t) => {
  const launching = await createLaunching(t);
  const { world } = launching;
  const file = join(world.root, "journal");
  world.define({ serviceName: "svc", binary: "hands-blocking.py", labels: { "exec.env.JOURNAL": file } });
  await launching.negotiated("svc");
  assert.deepEqual(readFileSync(file, "utf8").trimEnd().split("\n"), [
    "control nonblocking=False",
    "listener nonblocking=False",
    "probed",
  ]);
});

/** Brokers that come one after the other; the last is ended with its backends. */
async function createSuccession(t: TestContext) {
  const socket = (world: World): string => join(world.runtime, "b.sock");
  let made: World | undefined;
  t.after(async () => {
    if (made !== undefined) await rpb(made, "stop", "--socket", socket(made), "--with-backends", "--timeout", "1s");
  });
  const world = await createWorld(t);
  made = world;
  return { world, start: () => world.startBroker(["--socket", socket(world)]), socket: socket(world) };
}

const rpb = (world: World, ...args: string[]): Promise<Finished> => world.run(process.execPath, [RPB, ...args]);

/** Is O_NONBLOCK set on the socket on which a process accepts at `path`? */
function acceptsNonBlocking(world: World, pid: number, path: string): boolean {
  const [inode] = world.platform.processes.listenersAt(path, pid) ?? [];
  const listener = descriptorsIn(pid).find(({ target }) => target === `socket:[${inode}]`);
  assert.ok(listener !== undefined, `${pid} has no listener at ${path}`);
  return (flagsOf(listener.fd, pid) & O_NONBLOCK) !== 0;
}

for (const [what, labels] of Object.entries(KINDS)) {
  test(`${what}: from launch to end it sees the connections of clients, and no other`, async (t) => {
    const { world, start, socket } = await createSuccession(t);
    const journal = define(world, "svc", labels);
    const expected: string[] = [];
    const ask = async (broker: RunningBroker, text: string): Promise<string> => {
      const { backendPipe } = await launchingIn(world, broker).negotiated("svc");
      assert.equal(await asked(backendPipe, text), text.toUpperCase());
      expected.push(`accepted b'${text}'`);
      return backendPipe;
    };

    const first = await start();
    const pipe = await ask(first, "launched");
    // The first Hello after a launch looks most closely.
    for (let i = 0; i < 3; i++) await ask(first, `again ${i}`);
    for (const args of [
      ["status"],
      ["status", "--json"],
      ["list-instances"],
      ["dump", "--socket", socket],
      ["backend-health", "--socket", socket],
      ["metrics", "--socket", socket],
      ["diagnose", "--socket", socket, "--output", join(world.root, "d.tar.gz")],
      ["service", "check", "svc", "--version", "1.0.0"],
      ["why", "svc"],
    ])
      await rpb(world, ...args);
    // Another broker tidies up where this one's sockets are; old enough to be looked at.
    utimesSync(pipe, new Date(0), new Date(0));
    await (await world.startBroker(["--socket", join(world.runtime, "c.sock")])).stop();
    // A backend of the SDK that is started at an address which is taken.
    const intruder = await world.run(world.install("reverse.mjs"), [], {
      env: { RUNNING_PROCESS_BROKER_V1_BACKEND_PIPE: pipe, RUNNING_PROCESS_BROKER_V1_BACKEND_NAMESPACE: "n" },
    });
    assert.match(intruder.stderr, /ENDPOINT_IN_USE/);
    await ask(first, "looked at");

    first.process.kill("SIGKILL");
    await first.ended;
    const second = await start();
    assert.equal(await ask(second, "adopted"), pipe);
    await ask(second, "and again");
    assert.equal(acceptsNonBlocking(world, second.pid, socket), true);

    const restarted = await rpb(world, "restart", "--socket", socket, "--json");
    assert.equal(restarted.code, 0, restarted.stderr);
    const { broker_pid: third } = JSON.parse(restarted.stdout) as { broker_pid: number };
    // Its output is the new process's now, so only its exit can be waited for.
    if (second.process.exitCode === null) await once(second.process, "exit");
    assert.equal(await ask(second, "restarted"), pipe);
    await ask(second, "for the last time");
    assert.equal(acceptsNonBlocking(world, third, socket), true);

    const end = processEnd(world, Number(/"backend-state".*"pid":(\d+)/.exec(first.log())?.[1]));
    assert.equal((await rpb(world, "stop", "--socket", socket, "--with-backends", "--timeout", "1s")).code, 0);
    await end;
    assert.deepEqual(
      journal().filter((line) => line.startsWith("accepted")),
      expected,
    );
  });
}

test("an idle daemon is asked nothing by connecting, and ends", async (t) => {
  const launching = await createLaunching(t);
  const journal = define(launching.world, "svc", { ...KINDS.LISTEN_FDS, "idle.timeout": "300ms" });
  const { backendPipe } = await launching.negotiated("svc");
  assert.equal(await asked(backendPipe, "once"), "ONCE");
  await launching.broker.logged(/"type":"backend-state".*"to":"absent"/);
  assert.deepEqual(journal(), ["listener nonblocking=False", "accepted b'once'"]);
});

test("rpb connect makes the one connection that it reports, and sends nothing on it; the daemon survives it", async (t) => {
  const { world, start } = await createSuccession(t);
  const broker = await start();
  for (const [service, labels] of [
    ["listens", KINDS.LISTEN_FDS],
    ["binds", KINDS["a path in its arguments"]],
  ] as const) {
    // It answers whatever comes, and would die of one that is gone by then.
    const journal = define(world, service, { ...labels, "exec.env.ALWAYS": "1" });
    for (const format of [[], ["--json"]]) {
      const { code, stdout } = await rpb(world, "connect", service, "1.0.0", "--broker", broker.endpoint, ...format);
      assert.equal(code, 0);
      if (format.length > 0) assert.equal((JSON.parse(stdout) as { identity: unknown }).identity, null);
    }
    const lines = (): string[] => journal().filter((line) => line.startsWith("accepted"));
    const { backendPipe } = await launchingIn(world, broker).negotiated(service);
    await asked(backendPipe, "last");
    assert.deepEqual(lines(), ["accepted b''", "accepted b''", "accepted b'last'"]);
    assert.equal(launchingIn(world, broker).pids(service).length, 1);
  }
});

test("connect: a socket that is bound and does not listen yet is waited for", async (t) => {
  const launching = await createLaunching(t);
  const { world } = launching;
  const journal = define(world, "svc", {
    ...KINDS["a path in its arguments"],
    "exec.env.BOUND": join(world.root, "bound"),
    "exec.env.GO": join(world.root, "go"),
  });
  let answered = false;
  const negotiated = launching.negotiated("svc").finally(() => {
    answered = true;
  });
  await fileCondition(join(world.root, "bound"));
  // By now it has been looked at several times.
  for (let i = 0; i < 20; i++) await rpb(world, "healthz", "--socket", launching.broker.endpoint);
  assert.equal(answered, false);
  spawn("touch", [join(world.root, "go")]);
  assert.equal(await asked((await negotiated).backendPipe, "now"), "NOW");
  assert.deepEqual(journal(), ["accepted b'now'"]);
});

test("connect: a daemon that binds by a relative path, which no table shows at its address, gets ready", async (t) => {
  const launching = await createLaunching(t);
  const journal = define(launching.world, "svc", { ...KINDS["a path in its arguments"], "exec.env.RELATIVE": "1" });
  const { backendPipe } = await launching.negotiated("svc");
  assert.equal(await asked(backendPipe, "there"), "THERE");
  assert.deepEqual(journal(), ["accepted b'there'"]);
});
