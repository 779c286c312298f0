/** Clients that wait for another one's start, and the directory in which its lock lies. */
import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { test } from "node:test";
import type { BrokerError } from "../../src/base/errors.ts";
import { startBroker } from "../../src/client/auto-start.ts";
import { createTimeBox } from "../../src/client/time-box.ts";
import type { Platform } from "../../src/platform/ports/index.ts";
import { type Stage, stage } from "./support/auto-start.ts";
import { failureOf } from "./support/failure-of.ts";

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
