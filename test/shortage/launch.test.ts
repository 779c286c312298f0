/** A launch or a start that fails at any point has closed and removed what it had, and the next one goes well. */
import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { isBrokerError } from "../../src/base/errors.ts";
import { startBroker } from "../../src/broker/broker.ts";
import type { Broker, BrokerOptions } from "../../src/broker/options.ts";
import { sayHello } from "../support/peers/raw-peer.ts";
import { openFiles } from "../support/process-facts.ts";
import { createWorld, type World } from "../support/world.ts";
import { createFailpoint, type Failpoint, sweepFailures } from "./support/failpoint.ts";

interface Stage {
  readonly world: World;
  readonly failpoint: Failpoint;
  readonly options: BrokerOptions;
}

async function stage(t: TestContext, errno: string): Promise<Stage> {
  const world = await createWorld(t);
  world.define({ serviceName: "svc", binary: "obeys.mjs" });
  const failpoint = createFailpoint(world.platform, errno);
  return {
    world,
    failpoint,
    options: {
      platform: failpoint.platform,
      env: world.env,
      endpoint: join(world.runtime, "b.sock"),
      definitionDirectory: world.definitions,
      definitionDirectorySource: "test",
      logDirectory: world.logs,
      hellosPerSecond: 0,
    },
  };
}

/** What this process has open of the world, its locks and logs, and what it holds of its processes. */
function held(world: World): string[] {
  return (
    openFiles(process.pid)
      .filter((target) => target.startsWith(world.root) || target.startsWith("socket:") || target.includes("pidfd"))
      // Open as long as there is something to record.
      .filter((target) => !target.endsWith("lifecycle.jsonl"))
      .map((target) => target.replace(/\d+/g, "N"))
      .sort()
  );
}

/**
 * Everything of a backend is given up when the news of its death has come, and of a connection when its end has. What was held
 * before may go meanwhile: other tests of this process have sockets, too.
 */
async function settles(world: World, before: readonly string[]): Promise<void> {
  const more = (): string[] => {
    const rest = [...before];
    return held(world).filter((target) => {
      const at = rest.indexOf(target);
      if (at >= 0) rest.splice(at, 1);
      return at < 0;
    });
  };
  const alive = setInterval(() => {}, 1000);
  const began = performance.now();
  while (more().length > 0 && performance.now() - began < PATIENCE_MS) await new Promise(setImmediate);
  clearInterval(alive);
  assert.deepEqual(more(), []);
}

const PATIENCE_MS = 20_000;

test("whatever call of a launch fails: the client is told, nothing is left, and the next launch works", async (t) => {
  let broker: Broker | undefined;
  t.after(() => broker?.stop({ reason: "requested", withBackends: true, drainMs: 100 }));
  const { world, failpoint, options } = await stage(t, "EDQUOT");
  broker = await startBroker(options);
  const base = held(world);
  const files = (): string[] => readdirSync(world.runtime).filter((name) => !name.startsWith("b.sock"));
  const isAsBefore = async (what: string): Promise<void> => {
    await settles(world, base);
    assert.deepEqual([files(), world.processes()], [[], []], what);
  };
  /** The backend is killed at once. */
  const launch = async (version: string): Promise<string | undefined> => {
    const { result } = await sayHello(options.endpoint, { serviceName: "svc", wantedVersion: version });
    for (const pid of world.processes()) process.kill(pid, "SIGKILL");
    if (result.case === "negotiated") return undefined;
    assert.ok(result.case === "refused");
    return result.value.reason;
  };
  let attempts = 0;
  const made = await sweepFailures(async (call, n) => {
    attempts++;
    failpoint.arm(call, n);
    const refused = await launch(`1.0.${attempts}`);
    const fired = failpoint.disarm();
    if (refused !== undefined) assert.match(refused, /EDQUOT/);
    await isAsBefore(`after ${call}`);
    if (!fired) return false;
    assert.equal(await launch(`2.0.${attempts}`), undefined, `after ${call}`);
    await isAsBefore(`after ${call} and a launch`);
    return true;
  });
  // Each step of a launch had its turn.
  for (const call of [
    "files.realpath",
    "files.writeAtomic",
    "files.openLog",
    "locks.tryAcquire",
    "transport.listen",
    "transport.pair",
    "processes.spawn",
    "files.sha256Executable",
  ])
    assert.ok(made.includes(call), `${call} did not fail; ${made.join(" ")}`);
});

test("whatever call of a start fails: it is refused with a code or goes well without, and nothing is left of it", async (t) => {
  const { world, failpoint, options } = await stage(t, "ENOSPC");
  const base = held(world);
  const made = await sweepFailures(async (call, n) => {
    failpoint.arm(call, n);
    const broker = await startBroker(options).catch((error: unknown) => {
      assert.ok(isBrokerError(error), String(error));
      assert.match(error.message, /^\[IO_FAILED\] failpoint/);
    });
    const fired = failpoint.disarm();
    await broker?.stop({ reason: "requested" });
    await settles(world, base);
    assert.deepEqual([existsSync(options.endpoint), existsSync(`${options.endpoint}.lock`)], [false, false], call);
    return fired;
  });
  for (const call of ["files.ensurePrivateDirectory", "locks.tryAcquire", "transport.listen", "files.list"])
    assert.ok(made.includes(call), `${call} did not fail; ${made.join(" ")}`);
});

test("whatever call of an adoption fails: the broker serves, or says why not, and has let go of all", async (t) => {
  let end = async (): Promise<void> => {};
  t.after(() => end());
  const { world, failpoint, options } = await stage(t, "EIO");
  end = async () => {
    for (const pid of world.processes()) process.kill(pid, "SIGKILL");
    while (world.processes().length > 0) await new Promise(setImmediate);
    // Removes what they leave in the directory.
    await (await startBroker(options)).stop({ reason: "requested" });
  };
  const base = held(world);
  const events: string[] = [];
  const observed = { ...options, onEvent: ({ type }: { type: string }) => void events.push(type) };
  const made = await sweepFailures(async (call, n) => {
    // The one whose backend is adopted, or is there for the next time.
    const earlier = await startBroker(options);
    const launched = await sayHello(options.endpoint, { serviceName: "svc", wantedVersion: "1.0.0" });
    assert.equal(launched.result.case, "negotiated");
    await earlier.stop({ reason: "requested" });
    failpoint.arm(call, n);
    const broker = await startBroker(observed).catch((error: unknown) => {
      assert.ok(isBrokerError(error), String(error));
      assert.match(error.message, /^\[IO_FAILED\] failpoint/);
    });
    // Waits for the adoption.
    if (broker !== undefined) await sayHello(options.endpoint, { serviceName: "svc", wantedVersion: "1.0.0" });
    const fired = failpoint.disarm();
    await broker?.stop({ reason: "requested" });
    await settles(world, base);
    return fired;
  });
  for (const call of ["files.list", "files.read", "files.facts", "transport.listen"])
    assert.ok(made.includes(call), `${call} did not fail; ${made.join(" ")}`);
  assert.ok(events.includes("backend-found"));
});
