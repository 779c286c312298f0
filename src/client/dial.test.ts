import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { temporaryDirectory } from "../../test/support/peers/scripted-server.ts";
import { loadPlatform } from "../platform/platform.ts";
import { createManualClock } from "../testing/manual-clock.ts";
import { dial } from "./dial.ts";
import { createTimeBox } from "./time-box.ts";

const NOBODY = 65534;

test("a socket that another user listens on is PEER_UNVERIFIED, and nothing is sent to it", {
  skip: process.getuid?.() !== 0 && "needs root to become another user",
}, async (t) => {
  const directory = temporaryDirectory(t);
  chmodSync(directory, 0o777);
  const path = join(directory, "s");
  const program = `
    const server = require("node:net").createServer((socket) => {
      let got = 0;
      socket.on("data", (chunk) => (got += chunk.length));
      socket.on("error", () => {});
      socket.on("close", () => { console.log("got " + got); server.close(); });
    });
    server.listen(${JSON.stringify(path)}, () => console.log("listening"));`;
  const squatter = spawn(process.execPath, ["-e", program], {
    uid: NOBODY,
    gid: NOBODY,
    cwd: "/",
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.after(() => squatter.kill("SIGKILL"));
  let said = "";
  squatter.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    said += chunk;
  });
  await once(squatter.stdout, "data");
  const platform = await loadPlatform();
  const box = createTimeBox(platform.clock, 10_000);
  await assert.rejects(
    dial(platform, { path, who: "broker", unavailable: "BROKER_UNAVAILABLE", box }),
    (error: { code?: string; message?: string }) => {
      assert.match(String(error.message), new RegExp(`belongs to uid ${NOBODY}, not to 0`));
      return error.code === "PEER_UNVERIFIED";
    },
  );
  await once(squatter, "close");
  assert.equal(said, "listening\ngot 0\n");
});

test("nobody there is the code the caller chose, with the errno; other failures pass as they are", async (t) => {
  const directory = temporaryDirectory(t);
  const platform = await loadPlatform();
  const box = createTimeBox(platform.clock, 10_000);
  const at = (path: string): Promise<unknown> =>
    dial(platform, { path, who: "backend", unavailable: "BACKEND_UNREACHABLE", box });
  await assert.rejects(at(join(directory, "none")), (error: { code?: string; details?: { errno?: string } }) => {
    return error.code === "BACKEND_UNREACHABLE" && error.details?.errno === "ENOENT";
  });
  platform.transport.listen(join(directory, "stale")).close();
  await assert.rejects(at(join(directory, "stale")), (error: { code?: string; details?: { errno?: string } }) => {
    return error.code === "BACKEND_UNREACHABLE" && error.details?.errno === "ECONNREFUSED";
  });
  await assert.rejects(at("relative"), { code: "ENDPOINT_INVALID" });
  await assert.rejects(at(`/${"x".repeat(107)}`), { code: "PATH_TOO_LONG" });
});

test("a listener whose backlog is full: the wait ends with the abort and with the deadline", async (t) => {
  const directory = temporaryDirectory(t);
  const path = join(directory, "full");
  const platform = await loadPlatform();
  const listener = platform.transport.listen(path, { backlog: 0 });
  t.after(() => listener.close());
  const roomy = createTimeBox(platform.clock, 10_000);
  const held = await dial(platform, { path, who: "broker", unavailable: "BROKER_UNAVAILABLE", box: roomy });
  t.after(() => held.close());
  const abort = new AbortController();
  const aborted = dial(platform, {
    path,
    who: "broker",
    unavailable: "BROKER_UNAVAILABLE",
    box: createTimeBox(platform.clock, 10_000, abort.signal),
  });
  abort.abort();
  await assert.rejects(aborted, { code: "ABORTED" });
  const late = dial(platform, {
    path,
    who: "broker",
    unavailable: "BROKER_UNAVAILABLE",
    box: createTimeBox(platform.clock, 250),
  });
  await assert.rejects(late, {
    code: "DEADLINE_EXCEEDED",
    message: `[DEADLINE_EXCEEDED] 250 ms were up while connecting to the broker at ${path}`,
  });
});

test("after an abort nothing keeps trying a full backlog", async (t) => {
  const directory = temporaryDirectory(t);
  const path = join(directory, "full");
  const platform = await loadPlatform();
  const listener = platform.transport.listen(path, { backlog: 0 });
  t.after(() => listener.close());
  const real = createTimeBox(platform.clock, 10_000);
  const held = await dial(platform, { path, who: "broker", unavailable: "BROKER_UNAVAILABLE", box: real });
  t.after(() => held.close());
  const clock = createManualClock();
  const abort = new AbortController();
  const box = createTimeBox(clock, 10_000, abort.signal);
  const aborted = dial(platform, { path, who: "broker", unavailable: "BROKER_UNAVAILABLE", box });
  assert.notEqual(clock.pendingTimers, 0);
  abort.abort();
  await assert.rejects(aborted, { code: "ABORTED" });
  // Far less than the call's limit, more than one step of a connect.
  for (let passedMs = 0; passedMs < 200; passedMs += 5) {
    clock.advance(5);
    await new Promise(setImmediate);
  }
  assert.equal(clock.pendingTimers, 0);
});
