/** A client that finds no broker starts one: what it starts, and what it says when that fails. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { dirname } from "node:path";
import { test } from "node:test";
import { startBroker } from "../../src/client/auto-start.ts";
import { createTimeBox } from "../../src/client/time-box.ts";
import { ended, stage } from "./support/auto-start.ts";
import { failureOf } from "./support/failure-of.ts";

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
  assert.equal(new Set(opened.map(({ connection }) => connection.transferable)).size, 100);
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
