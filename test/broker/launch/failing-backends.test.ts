/** Backends that start and are no good: each is refused with what happened and its last words, and nothing is left. */
import assert from "node:assert/strict";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { createLaunching, type Launching } from "../../support/launching.ts";

type Labels = Record<string, string>;

interface Row {
  readonly what: string;
  /** A fixture, or the text of a shell script. */
  readonly binary: string;
  readonly labels?: Labels;
  /** Whole reason after the frozen prefix, the last words included. */
  readonly reason: RegExp;
  readonly details: Record<string, string>;
}

const SHORT = { "exec.ready_timeout": "300ms" };
/** Binds without an interpreter's start-up time, and without ever answering. */
const SLEEPS = "exec sleep 600";

const ROWS: readonly Row[] = [
  {
    what: "exits at once: its status and last output are in the refusal",
    binary: "exits-at-once.mjs",
    reason: /^backend exited with status 3 before it was ready; last output: cannot load the model: file is missing$/,
    details: { error: "PROCESS_EXITED", exit: "status 3", log_tail: "cannot load the model: file is missing" },
  },
  {
    what: "exits well but too early",
    binary: "exit 0",
    reason: /^backend exited with status 0 before it was ready$/,
    details: { error: "PROCESS_EXITED", exit: "status 0" },
  },
  {
    what: "is killed by a signal",
    binary: "echo on my way out; kill -SEGV $$",
    reason: /^backend exited with signal SIGSEGV before it was ready; last output: on my way out$/,
    details: { error: "PROCESS_EXITED", exit: "signal SIGSEGV", log_tail: "on my way out" },
  },
  {
    what: "binds and then exits",
    binary: "binds-then-exits.mjs",
    labels: { "exec.bind": "backend" },
    reason: /^backend exited with status 5 before it was ready; last output: bound, and gone$/,
    details: { error: "PROCESS_EXITED", exit: "status 5", log_tail: "bound, and gone" },
  },
  {
    what: "forks and exits, as daemons of old do",
    binary: `sleep 600 & exit 0`,
    reason: /^backend exited with status 0 before it was ready$/,
    details: { error: "PROCESS_EXITED", exit: "status 0" },
  },
  {
    what: "forks twice, leaves its session and exits",
    binary: `(setsid sh -c 'setsid sleep 600 & exit 0'); exit 0`,
    reason: /^backend exited with status 0 before it was ready$/,
    details: { error: "PROCESS_EXITED", exit: "status 0" },
  },
  {
    what: "never answers on the listener it inherited",
    binary: SLEEPS,
    labels: SHORT,
    reason: /^backend was not ready in time: the deadline passed while reading a local socket$/,
    details: { error: "DEADLINE_EXCEEDED" },
  },
  {
    what: "never binds",
    binary: `echo still thinking; ${SLEEPS}`,
    labels: { ...SHORT, "exec.bind": "backend" },
    reason: /^backend was not ready in time: connect \S+ failed: ENOENT; last output: still thinking$/,
    details: { error: "DEADLINE_EXCEEDED", log_tail: "still thinking" },
  },
  {
    what: "accepts and says nothing",
    binary: "another-protocol.mjs",
    labels: { ...SHORT, "exec.ready_timeout": "1s" },
    reason: /^backend was not ready in time: the deadline passed while reading a local socket$/,
    details: { error: "DEADLINE_EXCEEDED" },
  },
  {
    what: "closes every connection",
    binary: "another-protocol.mjs",
    labels: { "exec.ready_timeout": "1s", "exec.env.ENDS": "1" },
    reason: /^backend was not ready in time: /,
    details: { error: "DEADLINE_EXCEEDED" },
  },
  ...[
    {
      what: "greets in another protocol",
      says: Buffer.from("220 mail.example ESMTP\r\n").toString("hex"),
      reason: /^unsupported framing version 50, expected 1$/,
      error: "FRAMING_VERSION_UNSUPPORTED",
    },
    {
      what: "announces a frame of two gigabytes",
      says: "01ffffff7f",
      reason: /^frame body of 2147483647 bytes is above the limit of \d+$/,
      error: "FRAME_TOO_LARGE",
    },
    {
      what: "answers with bytes that are no message",
      says: "0102000000ffff",
      reason: /^malformed Frame \(2 bytes\): /,
      error: "MESSAGE_MALFORMED",
    },
    {
      what: "answers with a frame that is no probe answer",
      says: "0100000000",
      reason: /^unexpected frame: envelope_version 0, expected 1$/,
      error: "FRAME_UNEXPECTED",
      check: "envelope_version",
    },
  ].map(({ what, says, reason, ...details }) => ({
    what: `${what}, which is final long before its time is up`,
    binary: "another-protocol.mjs",
    labels: { "exec.ready_timeout": "10m", "exec.env.SAYS": says },
    reason,
    details,
  })),
];

test("a backend that is no good is refused with its last words, and nothing of it is left", async (t) => {
  const launching = await createLaunching(t);
  for (const [index, row] of ROWS.entries()) await t.test(row.what, () => checkRow(launching, `row-${index}`, row));
});

async function checkRow(launching: Launching, serviceName: string, row: Row): Promise<void> {
  const { world } = launching;
  const script = row.binary.endsWith(".mjs");
  const binaryPath = script
    ? world.install(row.binary, `${serviceName}.mjs`)
    : shell(world.root, serviceName, row.binary);
  world.define({ serviceName, binaryPath, labels: { ...row.labels } });
  const refused = await launching.refused(serviceName);
  assert.match(refused.reason, /^backend spawn failed: /);
  assert.match(refused.reason.slice("backend spawn failed: ".length), row.reason);
  assert.equal(refused.code, 3);
  assert.equal(refused.retryAfterMs, 1000n);
  const { log_path, ...details } = refused.details;
  assert.deepEqual(details, row.details);
  assert.equal(log_path, join(world.logs, `${serviceName}-1.0.0.log`));
  assert.deepEqual(launching.leftovers(), []);
}

function shell(root: string, name: string, commands: string): string {
  const path = join(root, "bin", name);
  writeFileSync(path, `#!/bin/sh\n${commands}\n`);
  chmodSync(path, 0o755);
  return path;
}
