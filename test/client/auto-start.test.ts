import assert from "node:assert/strict";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { type BrokerError, isBrokerError } from "../../src/base/errors.ts";
import { type OpenedBroker, startBroker } from "../../src/client/auto-start.ts";
import type { BrokerStart } from "../../src/client/start-command.ts";
import { createTimeBox } from "../../src/client/time-box.ts";
import { loadPlatform } from "../../src/platform/platform.ts";
import type { Platform } from "../../src/platform/ports.ts";

const TINY_BROKER = fileURLToPath(new URL("support/tiny-broker.mjs", import.meta.url));

interface Stage {
  readonly platform: Platform;
  readonly start: BrokerStart;
  readonly socket: string;
  /** Pids and facts of the programs that were started so far. */
  starts(): { pid: number; argv: string[]; cwd: string; env: Record<string, string> }[];
  open(options?: { timeoutMs?: number; signal?: AbortSignal }): Promise<OpenedBroker>;
}

async function stage(t: TestContext, mode: string): Promise<Stage> {
  const directory = mkdtempSync(join(tmpdir(), "as-"));
  const platform = await loadPlatform();
  const socket = join(directory, "run", "b.sock");
  const start: BrokerStart = {
    endpoint: socket,
    file: process.execPath,
    args: [TINY_BROKER, mode, "serve", "--socket", socket],
    env: { MARK: "given" },
    logPath: join(directory, "log", "broker.log"),
  };
  const starts = (): ReturnType<Stage["starts"]> => {
    if (!existsSync(`${socket}.starts`)) return [];
    // A line that is being written at this moment is none yet.
    const lines = readFileSync(`${socket}.starts`, "utf8").split("\n").slice(0, -1);
    return lines.map((line) => ({ pid: Number.parseInt(line, 10), ...JSON.parse(line.slice(line.indexOf(" "))) }));
  };
  // Hooks run in the order they were added, and the list of what to end is in the directory.
  t.after(async () => {
    for (const { pid } of starts()) {
      const handle = platform.processes.open(pid);
      handle?.signal("SIGKILL");
      handle?.close();
      await ended(platform, pid);
    }
    rmSync(directory, { recursive: true });
  });
  const open: Stage["open"] = async (options = {}) => {
    const box = createTimeBox(platform.clock, options.timeoutMs ?? 20_000, options.signal);
    const opened = await startBroker(platform, start, box);
    t.after(() => opened.connection.close());
    return opened;
  };
  return { platform, start, socket, starts, open };
}

/** Resolves when the process has ended. Waiting for an exit does not keep a process alive by itself. */
async function ended(platform: Platform, pid: number): Promise<void> {
  const handle = platform.processes.open(pid);
  if (handle === undefined) return;
  const awake = setInterval(() => {}, 1000);
  await new Promise<void>((resolve) => handle.onExit(resolve));
  clearInterval(awake);
  handle.close();
}

async function failureOf(work: Promise<unknown>): Promise<BrokerError> {
  try {
    await work;
  } catch (error) {
    assert.ok(isBrokerError(error), String(error));
    return error;
  }
  assert.fail("the promise was expected to reject");
}

test("a client that finds no broker starts one and is connected", async (t) => {
  const { open, starts, start, socket } = await stage(t, "serve");
  const opened = await open();
  assert.equal(opened.started, true);
  const [started] = starts();
  assert.ok(started !== undefined);
  assert.deepEqual(started.argv, ["serve", "serve", "--socket", socket]);
  assert.equal(started.cwd, "/");
  assert.equal(started.env.MARK, "given");
  assert.equal(started.env.PATH, undefined);
  assert.equal(existsSync(`${socket}.start.lock`), false);
  assert.equal(existsSync(start.logPath), true);
});

test("a hundred clients at once: one start, a hundred connections, one of them the starter", async (t) => {
  const { open, starts } = await stage(t, "serve");
  const opened = await Promise.all(Array.from({ length: 100 }, () => open()));
  assert.equal(starts().length, 1);
  assert.equal(opened.filter(({ started }) => started).length, 1);
  assert.equal(new Set(opened.map(({ connection }) => connection.fd)).size, 100);
});

test("a broker that ends before it is ready: its last words, its exit status, its log", async (t) => {
  const { open, start } = await stage(t, "fail");
  mkdirSync(dirname(start.logPath), { mode: 0o700 });
  writeFileSync(start.logPath, "of an older start\n", { mode: 0o600 });
  const error = await failureOf(open());
  assert.equal(error.code, "BROKER_START_FAILED");
  assert.match(error.message, /exit status 78.*the config is broken/);
  assert.equal(error.details.exit, "78");
  assert.equal(error.details.logTail, "first words\nthe config is broken");
  assert.equal(error.details.logPath, start.logPath);
});

test("all who waited for a start that failed fail with it, and none of them starts another", async (t) => {
  const { open, starts, socket } = await stage(t, "fail-on-go");
  const failures = Array.from({ length: 30 }, () => failureOf(open()));
  while (starts().length === 0) await new Promise(setImmediate);
  writeFileSync(`${socket}.go`, "");
  for (const error of await Promise.all(failures)) {
    assert.equal(error.code, "BROKER_START_FAILED");
    assert.match(error.message, /gone wrong/);
    assert.equal(error.details.exit, "70");
  }
  assert.equal(starts().length, 1);
  assert.equal(existsSync(`${socket}.start.lock`), false);
});

test("a failure of the past stops nobody, and success removes its note", async (t) => {
  const { open, start, platform, socket, starts } = await stage(t, "fail");
  await failureOf(open());
  assert.equal(existsSync(`${socket}.start.failed`), true);
  const box = createTimeBox(platform.clock, 20_000);
  const args = start.args.map((arg) => (arg === "fail" ? "serve" : arg));
  const opened = await startBroker(platform, { ...start, args }, box);
  opened.connection.close();
  assert.equal(opened.started, true);
  assert.equal(existsSync(`${socket}.start.failed`), false);
  assert.equal(starts().length, 2);
});

test("a broker that is killed while it starts is started again, three times at most", async (t) => {
  const once = await stage(t, "killed-once");
  assert.equal((await once.open()).started, true);
  assert.equal(once.starts().length, 2);
  assert.equal(existsSync(`${once.socket}.start.failed`), false);
  const always = await stage(t, "killed");
  const error = await failureOf(always.open());
  assert.deepEqual([error.code, error.details.exit], ["BROKER_START_FAILED", "SIGKILL"]);
  assert.equal(always.starts().length, 3);
});

test("a program that says something else is no broker, and is ended", async (t) => {
  const { open, starts, platform } = await stage(t, "babble");
  const error = await failureOf(open());
  assert.equal(error.code, "BROKER_START_FAILED");
  assert.match(error.message, /said "hello, world" instead of "ready/);
  await ended(platform, starts()[0]?.pid ?? 0);
});

test("a program that cannot be run is BROKER_START_FAILED with the errno", async (t) => {
  const { platform, start } = await stage(t, "serve");
  const box = createTimeBox(platform.clock, 20_000);
  const error = await failureOf(startBroker(platform, { ...start, file: "/nonexistent/rpb" }, box));
  assert.equal(error.code, "BROKER_START_FAILED");
  assert.equal(error.details.errno, "ENOENT");
});

test("a broker that ends because another one runs: the client connects to that one", async (t) => {
  const { open, socket, starts } = await stage(t, "already-running");
  const opening = open();
  while (starts().length === 0) await new Promise(setImmediate);
  const server = createServer((connection) => connection.on("error", () => {}));
  t.after(() => server.close());
  server.listen(socket);
  await once(server, "listening");
  assert.equal((await opening).started, false);
});

test("the holder of the start lock died: the next client starts", async (t) => {
  const { open, socket, platform, starts } = await stage(t, "serve");
  mkdirSync(dirname(socket), { mode: 0o700 });
  writeFileSync(`${socket}.start.lock`, "12345\n", { mode: 0o600 });
  assert.equal((await open()).started, true);
  assert.equal(starts().length, 1);
  assert.equal(platform.files.facts(`${socket}.start.lock`), undefined);
});

test("while another client starts: the wait ends with the deadline and with the signal, saying so", async (t) => {
  const { open, socket, platform, starts } = await stage(t, "serve");
  mkdirSync(dirname(socket), { mode: 0o700 });
  const lock = platform.locks.tryAcquire(`${socket}.start.lock`);
  assert.ok(lock !== undefined);
  t.after(() => lock.release());
  // On a busy machine a short time can be up in an earlier step already.
  let timeoutMs = 500;
  let late: BrokerError;
  do {
    timeoutMs *= 2;
    late = await failureOf(open({ timeoutMs }));
    assert.equal(late.code, "DEADLINE_EXCEEDED");
  } while (timeoutMs < 16_000 && / while connecting to /.test(late.message));
  assert.match(
    late.message,
    new RegExp(`${timeoutMs} ms were up while waiting for a broker at .* that another client starts`),
  );
  const abort = new AbortController();
  const aborted = failureOf(open({ signal: abort.signal }));
  abort.abort();
  assert.equal((await aborted).code, "ABORTED");
  assert.equal(starts().length, 0);
});

test("a starter whose time is up leaves the start going, and the next client finds the broker", async (t) => {
  const { open, socket, starts } = await stage(t, "serve-on-go");
  const abort = new AbortController();
  const first = failureOf(open({ signal: abort.signal }));
  while (starts().length === 0) await new Promise(setImmediate);
  abort.abort();
  const error = await first;
  assert.equal(error.code, "ABORTED");
  assert.match(error.message, /while starting a broker at/);
  const second = open();
  writeFileSync(`${socket}.go`, "");
  await second;
  assert.equal(starts().length, 1);
  // The first start may still wait for the broker's word; one that is killed before it is started once more.
  while (existsSync(`${socket}.start.lock`)) await new Promise(setImmediate);
});

test("a socket directory that others can enter is refused before anything is started", async (t) => {
  const { open, socket, starts } = await stage(t, "serve");
  mkdirSync(dirname(socket), { mode: 0o755 });
  assert.equal((await failureOf(open())).code, "DIRECTORY_INSECURE");
  assert.equal(starts().length, 0);
});

test("without a log directory a broker still starts", async (t) => {
  const { open, start } = await stage(t, "serve");
  writeFileSync(dirname(start.logPath), "in the way");
  assert.equal((await open()).started, true);
});

/** A start by ports of the test's own; nothing is left open. */
async function failedStart(
  { platform, start }: Stage,
  ports: { locks?: Partial<Platform["locks"]>; files?: Partial<Platform["files"]> },
  signal?: AbortSignal,
): Promise<BrokerError> {
  const wrapped = {
    ...platform,
    locks: { ...platform.locks, ...ports.locks },
    files: { ...platform.files, ...ports.files },
  };
  return failureOf(startBroker(wrapped, start, createTimeBox(platform.clock, 20_000, signal)));
}

test("a client that waits for another one's start checks the directory once, not at every poll", async (t) => {
  const world = await stage(t, "serve");
  const { platform, socket } = world;
  platform.files.ensurePrivateDirectory(dirname(socket));
  const held = platform.locks.tryAcquire(`${socket}.start.lock`);
  t.after(() => held?.release());
  const abort = new AbortController();
  let polls = 0;
  let checks = 0;
  const error = await failedStart(
    world,
    {
      locks: {
        tryAcquire: (path) => {
          if (++polls === 6) abort.abort();
          return platform.locks.tryAcquire(path);
        },
      },
      files: {
        ensurePrivateDirectory: (path) => {
          checks += 1;
          platform.files.ensurePrivateDirectory(path);
        },
      },
    },
    abort.signal,
  );
  assert.deepEqual([error.code, polls, checks], ["ABORTED", 6, 1]);
});

test("a directory that was opened to others while a client waited is refused before anything in it is believed", async (t) => {
  const world = await stage(t, "serve");
  const { platform, socket, starts } = world;
  const error = await failedStart(world, {
    locks: {
      tryAcquire: (path) => {
        writeFileSync(`${socket}.start.failed`, '{"reason":"forged"}', { mode: 0o600 });
        chmodSync(dirname(socket), 0o777);
        return platform.locks.tryAcquire(path);
      },
    },
  });
  assert.equal(error.code, "DIRECTORY_INSECURE");
  assert.deepEqual(starts(), []);
  assert.equal(existsSync(`${socket}.start.lock`), false);
});
