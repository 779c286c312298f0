import assert from "node:assert/strict";
import { test } from "node:test";
import { collectOutput } from "../../../test/support/fake-process-io.mjs";
import { BrokerError, type BrokerErrorCode, ERROR_TABLE } from "../../base/errors.ts";
import { describeFailure, exitCodeOf, failureToJson, reportFailure } from "./exit.ts";
import { createOutput } from "./output.ts";

test("each code exits as the table of errors says", () => {
  for (const [code, row] of Object.entries(ERROR_TABLE)) {
    const error = new BrokerError(code as BrokerErrorCode, "what happened");
    assert.equal(exitCodeOf(error), row.exit, code);
    assert.ok(row.exit > 0 && row.exit < 256, `${code} would look like success`);
    assert.equal(describeFailure(error)[0], `rpb: [${code}] what happened`);
  }
});

test("what is known beside the text follows it: wait, log, last words", () => {
  const error = new BrokerError("BACKEND_SPAWN_FAILED", "it ended", {
    details: { retryAfterMs: 1500, logPath: "/tmp/demo.log", logTail: "one\n\ntwo\n" },
  });
  assert.deepEqual(describeFailure(error), [
    "rpb: [BACKEND_SPAWN_FAILED] it ended",
    "  try the definition with: rpb service check <name> --version <version>",
    "  try again in 1.5 s",
    "  log: /tmp/demo.log",
    "  | one",
    "  | two",
  ]);
});

test("as JSON an error keeps its code, exit status, retry class and details", () => {
  const error = new BrokerError("RATE_LIMITED", "too many", { details: { retryAfterMs: 20 } });
  assert.deepEqual(failureToJson(error), {
    code: "RATE_LIMITED",
    message: "too many",
    exit: 75,
    retry: "later",
    retryAfterMs: 20,
  });
});

test("with --json the object goes to stdout and the line to stderr all the same", () => {
  const { output: io, written } = collectOutput(createOutput);
  assert.equal(reportFailure(io, new BrokerError("SHUTTING_DOWN", "bye"), { json: true }), 75);
  assert.equal(written.err, "rpb: [SHUTTING_DOWN] bye\n");
  assert.equal(JSON.parse(written.out).error.code, "SHUTTING_DOWN");
  assert.equal(reportFailure(io, new BrokerError("SHUTTING_DOWN", "bye")), 75);
  assert.equal(written.out.split("\n").length, 2, "without --json nothing more goes to stdout");
});

test("an error of no code is a fault of ours, with its stack", () => {
  const error = new Error("oops");
  assert.equal(exitCodeOf(error), 70);
  assert.match(
    describeFailure(error).join("\n"),
    /^rpb: \[INTERNAL\] this is a fault of rpb itself.*oops\n.*exit\.test/,
  );
  assert.deepEqual(failureToJson("oops"), {
    code: "INTERNAL",
    message: "this is a fault of running-process-broker, please report it: oops",
    exit: 70,
    retry: "later",
  });
});
