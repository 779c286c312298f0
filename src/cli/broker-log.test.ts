import assert from "node:assert/strict";
import test from "node:test";
import { BrokerError } from "../base/errors.ts";
import type { BrokerEvent } from "../broker/options.ts";
import { createManualClock } from "../testing/manual-clock.ts";
import { type BrokerLogOptions, createBrokerLog } from "./broker-log.ts";

function setUp(options: BrokerLogOptions = {}) {
  const clock = createManualClock({ wallMs: 1_700_000_000_000 });
  const lines: string[] = [];
  const io = { err: (line: string) => void lines.push(line), stderrIsTerminal: false };
  const log = createBrokerLog(io, { clock, pid: 7 }, options);
  return { clock, lines, log, records: () => lines.map((line) => JSON.parse(line) as Record<string, unknown>) };
}

function event(message: string, level: BrokerEvent["level"] = "info", fields: object = {}): BrokerEvent {
  return { type: "listening", level, message, ...fields } as BrokerEvent;
}

test("the first lines are written later, in order, with the times at which they were said", async () => {
  const { clock, lines, log, records } = setUp();
  log.write(event("one"));
  clock.advance(5);
  log.write(event("two", "warn"));
  assert.deepEqual(lines, []);
  clock.advance(15);
  await log.flush();
  const said = records().map(({ time, level, msg, broker_pid }) => [time, level, msg, broker_pid]);
  assert.deepEqual(said, [
    ["2023-11-14T22:13:20.000Z", "info", "one", 7],
    ["2023-11-14T22:13:20.005Z", "warn", "two", 7],
  ]);
  log.write(event("three"));
  assert.equal(records().at(-1)?.msg, "three");
  assert.equal(clock.pendingTimers, 0);
});

test("what was said while the logger was loaded is not lost and not in front", async () => {
  const { log, records } = setUp();
  log.write(event("one"));
  const flushed = log.flush();
  log.write(event("two"));
  await flushed;
  log.write(event("three"));
  assert.deepEqual(
    records().map(({ msg }) => msg),
    ["one", "two", "three"],
  );
});

test("what is below the level is never written, and a silent log loads nothing", async () => {
  for (const [level, expected] of [
    ["debug", ["debug", "info", "error"]],
    ["warn", ["error"]],
    ["silent", []],
  ] as const) {
    const { clock, log, records } = setUp({ level });
    for (const each of ["debug", "info", "error"] as const) log.write(event(each, each));
    assert.equal(clock.pendingTimers, expected.length > 0 ? 1 : 0);
    await log.flush();
    assert.deepEqual(
      records().map(({ msg }) => msg),
      expected,
    );
  }
});

test("an error is shown with its code, text and facts", async () => {
  const { log, records } = setUp();
  const error = new BrokerError("IO_FAILED", "no room", { details: { errno: "ENOSPC" } });
  log.write(event("failed", "error", { error }));
  await log.flush();
  assert.deepEqual(records()[0]?.error, { code: "IO_FAILED", message: "no room", errno: "ENOSPC" });
});
