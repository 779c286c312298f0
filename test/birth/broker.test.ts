/**
 * A daemon outlives the program that started it. What it keeps of its descriptors stays open for ever: a script's lock is held, the
 * reader of a pipe waits for an end that never comes (mozilla/sccache#1855).
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { hasCode } from "../../src/base/errors.ts";
import { adminRequest } from "../../src/exchange/admin-client.ts";
import { AdminVerb } from "../../src/wire/messages.ts";
import { fileCondition, type Launching, launchingIn, processEnd } from "../support/launching.ts";
import { descriptorsIn } from "../support/process-facts.ts";
import { COMPAT, createWorld, RPB, type RunningBroker, type World } from "../support/world.ts";
import { type Outer, outerDescriptors, targetOf } from "./support/outer.ts";

interface Way {
  readonly words: readonly string[];
  readonly env?: Record<string, string>;
}

const WAYS: Readonly<Record<string, Way>> = {
  "rpb serve": { words: [RPB, "serve", "--socket"] },
  "the compat binary": { words: [COMPAT, "--serve-launch"] },
  // Their runtime has more of its own open.
  "rpb serve under a debugger": { words: ["--inspect=127.0.0.1:0", RPB, "serve", "--socket"] },
  "rpb serve with io_uring": { words: [RPB, "serve", "--socket"], env: { UV_USE_IO_URING: "1" } },
};

interface Birth {
  readonly world: World;
  readonly outer: Outer;
  readonly launching: Launching;
  /** By its own word: another one after a restart. */
  brokerPid(): Promise<number>;
}

/** `redirect`: more for the shell to do with descriptors. */
async function startedByShell(t: TestContext, { words, env }: Way, redirect = ""): Promise<Birth> {
  let stop = async (): Promise<void> => {};
  t.after(() => stop());
  const world = await createWorld(t);
  const outer = outerDescriptors(world);
  const endpoint = join(world.runtime, "b.sock");
  world.platform.files.ensurePrivateDirectory(world.runtime);
  const argv = [...outer.shell, "bash", "-c", `exec "$@" ${redirect}`, "bash", process.execPath, ...words, endpoint];
  const child = world.track(
    spawn(argv[0] as string, argv.slice(1), { env: { ...world.env, ...env }, stdio: ["ignore", "ignore", "ignore"] }),
  );
  const ended = once(child, "close");
  await Promise.race([fileCondition(endpoint), ended.then(() => assert.fail("the broker ended"))]);
  const brokerPid = async (): Promise<number> => {
    for (;;) {
      try {
        const { body } = await adminRequest(world.platform, endpoint, { verb: AdminVerb.STATUS, json: true });
        return (JSON.parse(body) as { broker_pid: number }).broker_pid;
      } catch (error) {
        // Between bind(2) and listen(2) the file is there and nothing listens.
        if (!hasCode(error, "BROKER_UNAVAILABLE")) throw error;
      }
    }
  };
  stop = async () => {
    const gone = processEnd(world, await brokerPid());
    await world.run(process.execPath, [RPB, "stop", "--with-backends", "--timeout", "1s", "--socket", endpoint]);
    await gone;
  };
  // A file that is there need not listen yet.
  await brokerPid();
  const broker = { endpoint, process: child, pid: child.pid as number, ended } as unknown as RunningBroker;
  return { world, outer, launching: launchingIn(world, broker), brokerPid };
}

function backendPids({ world }: Birth, broker: number): number[] {
  return world
    .processes()
    .filter((pid) => pid !== broker && readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("obeys"));
}

/** What a process has open beside the standard streams and what its own runtime opens. */
function sockets(pid: number): number {
  return descriptorsIn(pid).filter(({ fd, target }) => fd > 2 && target.startsWith("socket:")).length;
}

/** A backend's listener and its end of the control channel are left, once the connection of the probe has ended. */
async function onlyItsOwnSockets(backend: number): Promise<void> {
  while (sockets(backend) > 2) await new Promise(setImmediate);
  assert.equal(sockets(backend), 2);
}

for (const [name, way] of Object.entries(WAYS)) {
  test(`${name}: neither the broker nor a backend has anything of the shell that started it`, async (t) => {
    const birth = await startedByShell(t, way);
    birth.world.define({ serviceName: "svc", binary: "obeys.mjs" });
    await birth.launching.negotiated("svc");
    const broker = await birth.brokerPid();
    const [backend, ...more] = backendPids(birth, broker);
    assert.ok(backend !== undefined && more.length === 0);
    assert.deepEqual([broker, backend].flatMap(birth.outer.heldBy), []);
    assert.equal(birth.outer.isLockFree(), true);
    await onlyItsOwnSockets(backend);
  });
}

test("after a hot restart and a new launch it is the same", async (t) => {
  const birth = await startedByShell(t, WAYS["rpb serve"] as Way);
  const { world, launching, outer } = birth;
  world.define({ serviceName: "svc", binary: "obeys.mjs" });
  await launching.negotiated("svc");
  const first = await birth.brokerPid();
  const socket = launching.broker.endpoint;
  assert.equal((await world.run(process.execPath, [RPB, "restart", "--socket", socket])).code, 0);
  const second = await birth.brokerPid();
  assert.notEqual(second, first);
  for (const pid of backendPids(birth, second)) {
    const gone = processEnd(world, pid);
    process.kill(pid, "SIGKILL");
    await gone;
  }
  await launching.negotiated("svc");
  const [backend] = backendPids(birth, second);
  assert.ok(backend !== undefined);
  assert.deepEqual([second, backend].flatMap(outer.heldBy), []);
  await onlyItsOwnSockets(backend);
});

for (const redirect of ["<&-", "<&- >&-", "<&- >&- 2>&-", ">&- 2>&-"]) {
  test(`started with ${redirect} it has the null device there, and its backend has its log`, async (t) => {
    const birth = await startedByShell(t, WAYS["rpb serve"] as Way, redirect);
    birth.world.define({ serviceName: "svc", binary: "obeys.mjs" });
    await birth.launching.negotiated("svc");
    const broker = await birth.brokerPid();
    const [backend] = backendPids(birth, broker);
    assert.ok(backend !== undefined);
    for (const fd of [0, 1, 2]) assert.equal(targetOf(broker, fd), "/dev/null");
    assert.equal(targetOf(backend, 0), "/dev/null");
    for (const fd of [1, 2]) assert.ok(targetOf(backend, fd).startsWith(birth.world.logs), targetOf(backend, fd));
  });
}

test("the reader of a pipe that the shell opened sees its end while the broker runs", async (t) => {
  const { outer, brokerPid } = await startedByShell(t, WAYS["rpb serve"] as Way);
  await outer.readerEnded();
  await brokerPid();
});
