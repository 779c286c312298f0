import assert from "node:assert/strict";
import { test } from "node:test";
import { alignColumns, formatUptime, statusLines } from "./status-text.ts";

test("a broker is one line, its address, and a table of backends", () => {
  const body = {
    broker_instance: "shared",
    broker_pid: 7,
    uptime_seconds: 3725.5,
    accepting_hello: true,
    connections_open: 1,
    backends: [{ service_name: "demo", service_version: "1.0.0", pid: 8, state: "running", backend_pipe: "/b" }],
  };
  assert.equal(
    statusLines("/s", body).join("\n"),
    "broker shared, pid 7, up 1 h 2 min, accepting, 1 open connection\n  /s\n  SERVICE  VERSION  PID  STATE    ENDPOINT\n  demo     1.0.0    8    running  /b",
  );
});

test("what another implementation leaves out, or fills with escape sequences, does no harm", () => {
  assert.equal(statusLines("/s", {}).join("\n"), "broker ?, pid ?, up ?, not accepting\n  /s\n  no backends");
  assert.equal(
    statusLines("/s", { broker_instance: "a\x1b[2Jb\n", backends: "no" })[0],
    "broker a?[2Jb?, pid ?, up ?, not accepting",
  );
});

test("durations keep their two largest units", () => {
  for (const [seconds, text] of [
    [0, "0 s"],
    [0.9, "0 s"],
    [59, "59 s"],
    [60, "1 min 0 s"],
    [86_400, "1 d 0 h"],
    [90_061, "1 d 1 h"],
    ["x", "?"],
  ] as const)
    assert.equal(formatUptime(seconds), text);
});

test("columns are as wide as their widest cell, without trailing blanks", () => {
  assert.deepEqual(
    alignColumns([
      ["a", "bb", "c"],
      ["aaa", "b", ""],
    ]),
    ["a    bb  c", "aaa  b"],
  );
});

test("what drains is listed with the backends, what crashed below them with its last words", () => {
  const row = { service_name: "demo", service_version: "1.0.0", pid: 8, backend_pipe: "/b" };
  const body = {
    draining: [row],
    crashes: [{ ...row, crashes: 2, last_exit: "signal SIGSEGV", last_log_lines: "a\nb\nc\n\x1b[2Jd\n" }],
  };
  assert.deepEqual(statusLines("/s", body).slice(2), [
    "  SERVICE  VERSION  PID  STATE     ENDPOINT",
    "  demo     1.0.0    8    draining  /b",
    "  crashed lately: demo 1.0.0, 2 of 3 times in 30 s, last with signal SIGSEGV",
    "  | b",
    "  | c",
    "  | ?[2Jd",
  ]);
});
