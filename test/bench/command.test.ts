import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { createWorld, type Finished, PROJECT, type World } from "../support/world.ts";

const RUN = join(PROJECT, "bench/run.mjs");

interface Row {
  id: string;
  n: number;
  p50: number;
  p99: number;
  ratio: { p50: number; p99: number } | null;
}

interface Document {
  smoke: boolean;
  machine: { node: string; cores: number };
  benchmarks: { name: string; rows: Row[]; targets: { value: number; met: boolean }[] }[];
  compared?: { row: string; p50: number; p99: number; ratio: number | null }[];
}

const HELLO_ROWS = ["same", "other"].flatMap((placement) =>
  ["broker", "koffi", "blocking", "thorough", "net"].map((id) => `${id}-${placement}`),
);

function bench(world: World, ...args: string[]): Promise<Finished> {
  return world.run(process.execPath, [RUN, ...args]);
}

test("a smoke run measures the broker and its floors in processes that are gone afterwards, as one document", async (t) => {
  const world = await createWorld(t);
  const report = join(world.root, "report.html");
  const { code, stdout, stderr } = await bench(world, "hello", "--smoke", "--json", "--report", report);
  assert.equal(code, 0, stderr);
  assert.deepEqual(world.processes(), []);
  const document = JSON.parse(stdout) as Document;
  assert.deepEqual([document.machine.node, document.smoke], [process.version, true]);
  const [hello] = document.benchmarks;
  assert.deepEqual(
    hello?.rows.map(({ id, n, p50, p99 }) => [id, n, p50 > 0 && p50 <= p99]),
    HELLO_ROWS.map((id) => [id, 50, true]),
  );
  const [broker, floor] = hello?.rows ?? [];
  assert.ok(broker && floor);
  assert.deepEqual(broker.ratio, { p50: broker.p50 / floor.p50, p99: broker.p99 / floor.p99 });
  assert.equal(hello?.targets.length, 8);

  const page = readFileSync(report, "utf8");
  assert.match(page, /<svg/);
  assert.match(page, /bare koffi server/);
  assert.doesNotMatch(page, /<script|<link|src=|https?:/, "the page needs nothing else");

  // The same figures again, against half of them, and judged.
  const [now, before] = [join(world.root, "now.json"), join(world.root, "before.json")];
  const halved = structuredClone(document);
  for (const row of halved.benchmarks[0]?.rows ?? []) row.p50 /= 2;
  const judged = structuredClone({ ...document, smoke: false });
  for (const target of judged.benchmarks[0]?.targets ?? []) target.met = false;
  writeFileSync(before, JSON.stringify(halved));
  writeFileSync(now, JSON.stringify(judged));
  const compared = await bench(world, "--from", now, "--compare", before, "--json");
  assert.equal(compared.code, 0, compared.stderr);
  assert.deepEqual(
    (JSON.parse(compared.stdout) as Document).compared?.map(({ row, p50, p99 }) => [row, p50, p99]),
    HELLO_ROWS.map((id) => [id, 2, 1]),
  );
  const text = await bench(world, "--from", now, "--compare", before);
  assert.match(text.stdout, /bare net\.Server, two processors +x 2\.00 +x 1\.00/);
  const missed = await bench(world, "--from", now, "--markdown");
  assert.equal(missed.code, 3);
  assert.match(
    missed.stdout,
    /\| hello +\| broker, one processor, P50 to bare koffi server .*\| at most 1\.6 +\| [\d.]+ +\| \*\*missed\*\*/,
  );
});

test("a run that crashes does not exit as one that misses a target", async (t) => {
  const world = await createWorld(t);
  const broken = join(world.root, "broken.json");
  writeFileSync(broken, "{");
  for (const from of [broken, join(world.root, "absent.json")]) {
    const { code, stderr } = await bench(world, "--from", from);
    assert.equal(code, 1, stderr);
  }
});

test("an interrupted run takes its broker, its backends and its directory along", async (t) => {
  const world = await createWorld(t);
  // Rests for seconds, so that it is certainly interrupted in the middle.
  const child = world.track(
    spawn(process.execPath, [RUN, "idle"], { env: world.env, stdio: ["ignore", "pipe", "ignore"] }),
  );
  let directory: string | undefined;
  while (directory === undefined) {
    await setTimeout(20);
    for (const pid of world.processes()) directory ??= placeOf(pid);
  }
  child.kill("SIGINT");
  assert.deepEqual(await once(child, "exit"), [130, null]);
  assert.deepEqual(world.processes(), []);
  assert.equal(existsSync(directory), false);
});

test("arguments that make no sense are explained and run nothing", async (t) => {
  const world = await createWorld(t);
  const { code, stdout, stderr } = await bench(world, "no-such-benchmark");
  assert.deepEqual([code, stdout], [64, ""]);
  assert.match(stderr, /^usage: npm run bench/);
});

/** The directory that the suite has made for this process, when it is one of its broker's or backend's. */
function placeOf(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/environ`, "latin1").match(/XDG_RUNTIME_DIR=(\/tmp\/rpb-\w+)/)?.[1];
  } catch {
    return undefined;
  }
}
