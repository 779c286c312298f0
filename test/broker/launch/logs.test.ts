/** Backends' output (design §6.4): kept, private, bounded, and never a reason to refuse a backend. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import test, { type TestContext } from "node:test";
import { createLaunching, fileCondition, launchingIn, order } from "../../support/launching.ts";
import { createWorld, modeOf, RPB, type RunningBroker, type World } from "../../support/world.ts";

test("stdout and stderr of all launches of a version go to one private file, in order", async (t) => {
  const launching = await createLaunching(t);
  const { world, broker } = launching;
  const binaryPath = join(world.root, "bin", "talks.sh");
  writeFileSync(binaryPath, "#!/bin/sh\necho to stdout\necho to stderr >&2\nexit 1\n", { mode: 0o755 });
  world.define({ serviceName: "svc", binaryPath });
  await launching.refused("svc");
  const second = await launching.refused("svc");
  await launching.refused("svc", "2.0.0");
  const log = join(world.logs, "svc-1.0.0.log");
  assert.equal(readFileSync(log, "utf8"), "to stdout\nto stderr\nto stdout\nto stderr\n");
  // A refusal tells what its own launch said, not what earlier ones did.
  assert.equal(second.details.log_tail, "to stdout\nto stderr");
  assert.equal(second.details.log_path, log);
  assert.deepEqual([modeOf(log), modeOf(world.logs)], [0o600, 0o700]);
  assert.deepEqual(backendLogs(world), ["svc-1.0.0.log", "svc-2.0.0.log"]);
  assert.equal(broker.log().includes("to stdout"), true);
});

test("a log that grows beyond its limit is moved aside while it is written to, and one older file is kept", async (t) => {
  const launching = await createLaunching(t);
  const { world } = launching;
  world.define({ serviceName: "svc", binary: "obeys.mjs", labels: { "log.max_bytes": "4096" } });
  const { backendPipe } = await launching.negotiated("svc");
  const log = join(world.logs, "svc-1.0.0.log");
  const older = `${log}.1`;
  for (let round = 0; round < 2; round++) {
    const before = round === 0 ? 0n : statSync(older, { bigint: true }).mtimeNs;
    await order(backendPipe, "write-output");
    await fileCondition(
      log,
      () =>
        (statSync(older, { bigint: true, throwIfNoEntry: false })?.mtimeNs ?? 0n) > before &&
        statSync(log).size <= 4096,
    );
  }
  assert.deepEqual(backendLogs(world), ["svc-1.0.0.log", "svc-1.0.0.log.1"]);
  assert.deepEqual([modeOf(log), modeOf(older)], [0o600, 0o600]);
});

test("a log that is too large from an earlier launch is brought within its limit, whatever the next one writes", async (t) => {
  const launching = await createLaunching(t);
  const { world } = launching;
  mkdirSync(world.logs, { recursive: true, mode: 0o700 });
  const log = join(world.logs, "svc-1.0.0.log");
  writeFileSync(log, "old\n".repeat(2000));
  world.define({ serviceName: "svc", binary: "exits-at-once.mjs", labels: { "log.max_bytes": "4096" } });
  const { details } = await launching.refused("svc");
  assert.equal(details.log_tail, "cannot load the model: file is missing");
  const end = "old\ncannot load the model: file is missing\n";
  await fileCondition(log, () => {
    const older = existsSync(`${log}.1`) ? readFileSync(`${log}.1`, "utf8") : "";
    const current = readFileSync(log, "utf8");
    return current.length <= 4096 && older.length <= 4096 && (older + current).endsWith(end);
  });
  assert.match(readFileSync(`${log}.1`, "utf8"), /^\[rpb: \d+ bytes dropped\]\n(old\n)+/);
});

test("what a refusal carries of a long output is bounded and is its end", async (t) => {
  const launching = await createLaunching(t);
  const { world } = launching;
  const binaryPath = join(world.root, "bin", "floods.sh");
  writeFileSync(
    binaryPath,
    "#!/bin/sh\nhead -c 3000000 /dev/zero | tr '\\0' 'x'\nprintf '\\n\\360\\237\\246\\212 the \\377 end\\n'\nexit 1\n",
    { mode: 0o755 },
  );
  world.define({ serviceName: "svc", binaryPath });
  const { reason, details } = await launching.refused("svc");
  assert.ok(Buffer.byteLength(details.log_tail ?? "") <= 4096 + 8);
  assert.match(details.log_tail ?? "", /\u{1f98a} the \ufffd end$/u);
  assert.ok(reason.length < 600, `reason has ${reason.length} characters`);
  assert.match(reason, /last output: .*the \ufffd end$/su);
});

test("a log directory that is open to others is not used, and backends are launched all the same", async (t) => {
  const launching = await createLaunching(t);
  const { world, broker } = launching;
  // The broker has made it by now.
  chmodSync(world.logs, 0o755);
  world.define({ serviceName: "svc", binary: "obeys.mjs" });
  world.define({ serviceName: "bad", binary: "exits-at-once.mjs" });
  const { backendPipe } = await launching.negotiated("svc");
  await order(backendPipe, "write-output");
  assert.match(await broker.logged(/backend-log-unavailable/), /insecure permissions 0755/);
  const { reason, details } = await launching.refused("bad");
  assert.equal(reason, "backend spawn failed: backend exited with status 3 before it was ready");
  assert.deepEqual(details, { error: "PROCESS_EXITED", exit: "status 3" });
  assert.deepEqual(backendLogs(world), []);
});

test("what is no file in the log's place is not written to nor waited for, and backends are launched all the same", async (t) => {
  const launching = await createLaunching(t);
  const { world, broker } = launching;
  mkdirSync(world.logs, { recursive: true, mode: 0o700 });
  await world.run("ln", ["-s", join(world.root, "victim"), join(world.logs, "link-1.0.0.log")]);
  await world.run("mkdir", [join(world.logs, "dir-1.0.0.log")]);
  await world.run("mkfifo", [join(world.logs, "fifo-1.0.0.log")]);
  for (const serviceName of ["link", "dir", "fifo"]) {
    world.define({ serviceName, binary: "obeys.mjs" });
    await launching.negotiated(serviceName);
    await broker.logged(new RegExp(`no log for ${serviceName} `));
  }
  assert.throws(() => statSync(join(world.root, "victim")), { code: "ENOENT" });
});

test("a full disk below the log directory does not keep backends from being launched", async (t) => {
  const broker = await brokerWithFullStateDirectory(t);
  if (broker === undefined) return t.skip("needs the right to mount");
  const { negotiated } = broker;
  const { backendPipe } = await negotiated("svc");
  await order(backendPipe, "write-output");
  await negotiated("svc", "2.0.0");
});

/** Names in the directory of logs; the record of events is there too. */
function backendLogs(world: World): string[] {
  return readdirSync(world.logs).filter((name) => !name.startsWith("lifecycle.jsonl"));
}

/** In a mount namespace of its own, so that nothing has to be unmounted whatever happens. */
async function brokerWithFullStateDirectory(t: TestContext) {
  let launching: ReturnType<typeof launchingIn> | undefined;
  t.after(() => launching?.shutDown());
  const world = await createWorld(t);
  world.define({ serviceName: "svc", binary: "obeys.mjs" });
  const state = world.env.XDG_STATE_HOME as string;
  const script = `mount -t tmpfs -o size=16k,mode=0700 tmpfs "${state}" || exit 99
dd if=/dev/zero of="${state}/full" 2>/dev/null
exec "$@"`;
  const endpoint = join(world.runtime, "b.sock");
  const command = [process.execPath, RPB, "serve", "--log-format", "json", "--socket", endpoint];
  const child = world.track(
    spawn("unshare", ["-m", "sh", "-c", script, "sh", ...command], {
      env: world.env,
      stdio: ["ignore", "pipe", "ignore"],
    }),
  );
  const ended = once(child, "close");
  const ready = await Promise.race([
    once(createInterface({ input: child.stdout as NodeJS.ReadableStream }), "line"),
    ended.then(() => undefined),
  ]);
  if (ready === undefined) return undefined;
  const pid = child.pid as number;
  launching = launchingIn(world, { endpoint, process: child, pid, ended, log: () => "" } as unknown as RunningBroker);
  return launching;
}
