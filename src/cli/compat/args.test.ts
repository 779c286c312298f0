import assert from "node:assert/strict";
import { test } from "node:test";
import { CompatUsageError, maxConnections, option, options, required, takeSocket } from "./args.ts";

const ENV = "RUNNING_PROCESS_BROKER_V1_SOCKET";

test("--socket is taken from anywhere and wins over the environment", () => {
  for (const [args, env, words, endpoint] of [
    [["status"], {}, ["status"], undefined],
    [["--socket", "/a", "status"], {}, ["status"], "/a"],
    [["status", "--json", "--socket", "/a"], {}, ["status", "--json"], "/a"],
    [["status", "--socket", "/a"], { [ENV]: "/b" }, ["status"], "/a"],
    [["status"], { [ENV]: "/b" }, ["status"], "/b"],
    [["status"], { [ENV]: "" }, ["status"], undefined],
    // A value is not looked at: it may well look like an option.
    [["--socket", "--json", "status"], {}, ["status"], "--json"],
    [["--socket=/a", "status"], {}, ["--socket=/a", "status"], undefined],
  ] as const) {
    assert.deepEqual(takeSocket(args, env), { words: [...words], endpoint }, args.join(" "));
  }
});

test("a wrong --socket is a usage error with the frozen text", () => {
  for (const [args, text] of [
    [["status", "--socket"], "--socket requires a socket path or pipe name"],
    [["--socket", "", "status"], "--socket requires a non-empty socket path or pipe name"],
    [["--socket", "/a", "--socket", "/a"], "--socket may only be provided once"],
  ] as const) {
    assert.throws(
      () => takeSocket(args, {}),
      (error) => error instanceof CompatUsageError && error.message === text,
    );
  }
});

test("options are pairs; the first match wins; what is unknown is ignored", () => {
  const words = ["--serve", "/s", "--frob", "--version", "1.0.0", "--version", "2.0.0", "--service"];
  assert.equal(option(words, "--version"), "1.0.0");
  assert.deepEqual(options(words, "--version"), ["1.0.0", "2.0.0"]);
  assert.equal(option(words, "--service"), undefined);
  assert.equal(option(words, "--frob"), "--version");
  assert.throws(() => required(words, "--service", "--serve"), { message: "--service is required for --serve" });
  assert.equal(required(words, "--version", "--serve"), "1.0.0");
});

test("--max-connections is a number of at least 1", () => {
  assert.equal(maxConnections([]), undefined);
  assert.equal(maxConnections(["--max-connections", "3"]), 3);
  for (const text of ["0", "-1", "x", "", "1.5", "1e3"])
    assert.throws(() => maxConnections(["--max-connections", text]), CompatUsageError, text);
});
