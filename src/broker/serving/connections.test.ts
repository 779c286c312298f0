import assert from "node:assert/strict";
import { test } from "node:test";
import type { Connection } from "../../platform/ports/index.ts";
import { createManualClock } from "../../testing/manual-clock.ts";
import { createConnections } from "./connections.ts";

/** Only its identity matters here. */
const connection = (): Connection => ({ close() {} }) as Connection;

test("it is quiet when none is working: those that read or wait do not count", async () => {
  const connections = createConnections(createManualClock());
  const [reading, first, second] = [connection(), connection(), connection()];
  for (const each of [reading, first, second]) connections.add(each);
  for (const each of [first, second]) connections.markWorking(each);
  let quiet = false;
  const wait = connections.quiet().then(() => {
    quiet = true;
  });
  connections.remove(first);
  await Promise.resolve();
  assert.equal(quiet, false);
  connections.markWaiting(second);
  await wait;
  let idle = false;
  const end = connections.idle().then(() => {
    idle = true;
  });
  connections.remove(second);
  await Promise.resolve();
  assert.equal(idle, false);
  connections.remove(reading);
  await end;
  await connections.quiet();
});
