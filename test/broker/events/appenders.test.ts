/** Several brokers write to one file: no record is lost, torn or told twice, whoever rotates. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { createInterface } from "node:readline";
import { type TestContext, test } from "node:test";
import type { LifecycleEvent } from "../../../src/model/lifecycle-event.ts";
import { openLifecycleReader, readLifecycleEvents } from "../../../src/store/lifecycle-reader.ts";
import { createWorld, modeOf, type World } from "../../support/world.ts";

const WRITERS = 4;

interface Writer {
  readonly name: string;
  append(count: number): Promise<void>;
  end(): Promise<void>;
}

function startWriter(world: World, script: string, name: string, maxBytes: number): Writer {
  const child: ChildProcess = world.track(
    spawn(process.execPath, [script, world.logs, name, String(maxBytes)], {
      env: world.env,
      stdio: ["pipe", "pipe", "inherit"],
    }),
  );
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream });
  const ended = once(child, "exit");
  return {
    name,
    async append(count) {
      const answer = once(lines, "line");
      child.stdin?.write(`${count}\n`);
      assert.deepEqual(await Promise.race([answer, ended]), ["done"]);
    },
    async end() {
      child.stdin?.end();
      assert.deepEqual(await ended, [0, null]);
    },
  };
}

async function startWriters(t: TestContext, maxBytes: number): Promise<{ world: World; writers: Writer[] }> {
  const world = await createWorld(t);
  // Written before any of them reads it.
  const script = world.install("appends-events.mjs");
  const writers = Array.from({ length: WRITERS }, (_, i) => startWriter(world, script, `writer-${i}`, maxBytes));
  return { world, writers };
}

function checkComplete(events: readonly LifecycleEvent[], each: number): void {
  for (let i = 0; i < WRITERS; i++) {
    const numbers = events.filter(({ service }) => service === `writer-${i}`).map(({ extra }) => Number(extra.number));
    assert.deepEqual(
      numbers.sort((a, b) => a - b),
      Array.from({ length: each }, (_, number) => number),
      `writer-${i}`,
    );
  }
  assert.equal(events.length, WRITERS * each);
}

test("processes that append at the same time lose nothing and tear nothing", async (t) => {
  const { world, writers } = await startWriters(t, 100_000_000);
  await Promise.all(writers.map((writer) => writer.append(3000)));
  checkComplete(readLifecycleEvents(world.platform.files, world.logs), 3000);
  assert.equal(modeOf(`${world.logs}/lifecycle.jsonl`), 0o600);
  await Promise.all(writers.map((writer) => writer.end()));
});

test("a follower sees every record once through many rotations under several writers", async (t) => {
  // A round is less than a file: the follower, which looks after each, is never outrun, and no writer is so late that
  // its file has gone, in which case it writes its record again.
  const [maxBytes, round, rounds] = [32 * 1024, 20, 50];
  const { world, writers } = await startWriters(t, maxBytes);
  const reader = openLifecycleReader(world.platform.files, world.logs);
  t.after(() => reader.close());
  const seen: LifecycleEvent[] = [];
  for (let i = 0; i < rounds; i++) {
    await Promise.all(writers.map((writer) => writer.append(round)));
    seen.push(...reader.read());
  }
  checkComplete(seen, round * rounds);
  const files = readdirSync(world.logs);
  assert.deepEqual(files, ["lifecycle.jsonl", "lifecycle.jsonl.1"]);
  for (const name of files) {
    const size = Number(world.platform.files.facts(`${world.logs}/${name}`)?.size);
    // While one rotates, the others go on.
    assert.ok(size <= maxBytes + WRITERS * round * 512, `${name} has ${size} bytes`);
  }
  await Promise.all(writers.map((writer) => writer.end()));
});
