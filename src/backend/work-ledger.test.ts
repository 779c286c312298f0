import assert from "node:assert/strict";
import { test } from "node:test";
import { createManualClock } from "../testing/manual-clock.ts";
import { createWorkLedger, REPORT_INTERVAL_MS, type WorkCounts } from "./work-ledger.ts";

function setUp(countConnections = true) {
  const clock = createManualClock();
  const ledger = createWorkLedger(clock, { countConnections });
  const reports: WorkCounts[] = [];
  ledger.reportTo((counts) => reports.push(counts));
  return { clock, ledger, reports };
}

test("any number of requests between two reports is one report, and shows in what has begun", () => {
  const { clock, ledger, reports } = setUp();
  for (let i = 0; i < 1000; i++) {
    ledger.beginRequest();
    ledger.endRequest();
  }
  assert.equal(clock.pendingTimers, 1);
  clock.advance(REPORT_INTERVAL_MS - 1);
  assert.deepEqual(reports, []);
  clock.advance(1);
  assert.deepEqual(reports, [{ requests: 0, connections: 0, held: 0, reasons: [], begun: 1000n }]);
  clock.advance(10 * REPORT_INTERVAL_MS);
  assert.equal(reports.length, 1);
  assert.equal(clock.pendingTimers, 0);
});

test("a report tells the state at its moment, and what changes later is in the next one", () => {
  const { clock, ledger, reports } = setUp();
  ledger.openConnection();
  ledger.beginRequest();
  clock.advance(REPORT_INTERVAL_MS);
  ledger.endRequest();
  ledger.closeConnection();
  clock.advance(REPORT_INTERVAL_MS);
  assert.deepEqual(
    reports.map(({ requests, connections }) => [requests, connections]),
    [
      [1, 1],
      [0, 0],
    ],
  );
});

test("a lease counts until it is released, once however often that is done", () => {
  const { clock, ledger, reports } = setUp();
  let released = 0;
  ledger.onReleased(() => released++);
  const [first, second] = [ledger.lease("indexing"), ledger.lease("x".repeat(1000))];
  assert.equal(ledger.busyWith(), `2 leases (indexing, ${"x".repeat(64)})`);
  first.release();
  first.release();
  assert.deepEqual([ledger.held, released], [1, 0]);
  clock.advance(REPORT_INTERVAL_MS);
  assert.deepEqual(reports, [{ requests: 0, connections: 0, held: 1, reasons: ["x".repeat(64)], begun: 2n }]);
  second.release();
  assert.deepEqual([ledger.held, released, ledger.busyWith()], [0, 1, undefined]);
});

test("a message names eight leases at most", () => {
  const { ledger } = setUp();
  for (let i = 0; i < 20; i++) ledger.lease(`n${i}`);
  assert.deepEqual([ledger.counts().held, ledger.counts().reasons.length], [20, 8]);
});

test("connections that are no work neither count nor cause a report", () => {
  const { clock, ledger } = setUp(false);
  ledger.openConnection();
  assert.deepEqual([ledger.counts().connections, ledger.busyWith(), clock.pendingTimers], [0, undefined, 0]);
});

test("without anybody to report to there is no timer", () => {
  const { clock, ledger, reports } = setUp();
  ledger.reportTo(undefined);
  ledger.beginRequest();
  assert.equal(clock.pendingTimers, 0);
  ledger.reportTo((counts) => reports.push(counts));
  ledger.endRequest();
  clock.advance(REPORT_INTERVAL_MS);
  assert.equal(reports.length, 1);
});
