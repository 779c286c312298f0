import assert from "node:assert/strict";
import test from "node:test";
import { acquire, acquireAsync, during, runAll } from "./disposal-stack.ts";

const resource = (log: string[], name: string): { close(): void } => ({ close: () => void log.push(name) });

test("what was acquired is undone in reverse order when the work fails, and the failure is thrown on", async () => {
  const log: string[] = [];
  const failing = (held: Parameters<Parameters<typeof acquire>[0]>[0]): never => {
    held.use(resource(log, "first"));
    held.defer(() => void log.push("second"));
    throw new Error("third");
  };
  assert.throws(() => acquire(failing), /third/);
  assert.deepEqual(log.splice(0), ["second", "first"]);
  await assert.rejects(
    acquireAsync(async (held) => failing(held)),
    /third/,
  );
  assert.deepEqual(log.splice(0), ["second", "first"]);
  await assert.rejects(
    during(async (held) => failing(held)),
    /third/,
  );
  assert.deepEqual(log, ["second", "first"]);
});

test("it lives on when the work succeeds, but for what was held for its time only", async () => {
  const log: string[] = [];
  assert.equal(
    acquire((held) => held.use(resource(log, "kept")) && 1),
    1,
  );
  assert.equal(await acquireAsync(async (held) => held.use(resource(log, "kept")) && 2), 2);
  assert.deepEqual(log, []);
  assert.equal(await during(async (held) => held.use(resource(log, "held")) && 3), 3);
  assert.deepEqual(log, ["held"]);
});

test("an undoing that throws keeps none of the others from running, and does not hide the failure", () => {
  const log: string[] = [];
  const work = (): void =>
    acquire((held) => {
      held.use(resource(log, "first"));
      held.defer(() => {
        throw new Error("undoing");
      });
      held.use(resource(log, "third"));
      throw new Error("work");
    });
  assert.throws(work, /work/);
  assert.deepEqual(log, ["third", "first"]);
});

test("of steps that all must run the first failure is told", () => {
  const log: string[] = [];
  const fails = (what: string) => () => {
    throw new Error(what);
  };
  assert.deepEqual(runAll([() => void log.push("a"), fails("b"), fails("c"), () => void log.push("d")]), {
    error: new Error("b"),
  });
  assert.deepEqual(log, ["a", "d"]);
  assert.equal(runAll([]), undefined);
});
