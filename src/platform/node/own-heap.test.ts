import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";

const MB = 1024 * 1024;

/** How much larger the young generation has become in a process that made a lot of garbage, of which some lived on for a while. */
function grownYoungBytes(small: boolean): number {
  const program = `
    import { getHeapSpaceStatistics } from "node:v8";
    import { createOwnHeap } from ${JSON.stringify(new URL("./own-heap.ts", import.meta.url).href)};
    const youngBytes = () => getHeapSpaceStatistics().find((space) => space.space_name === "new_space").physical_space_size;
    if (${small}) createOwnHeap(() => {}).keepSmall();
    const before = youngBytes();
    const living = new Array(200_000);
    for (let n = 0; n < 5_000_000; n++) living[n % living.length] = { n };
    console.log(youngBytes() - before);
  `;
  const args = ["--import", "tsx", "--input-type=module", "--eval", program];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8", env: {} });
  assert.deepEqual([status, stderr], [0, ""]);
  return Number(stdout);
}

test("once it is to be kept small the young generation grows no more, as it does otherwise", () => {
  assert.ok(grownYoungBytes(false) > 4 * MB);
  assert.ok(grownYoungBytes(true) < 2 * MB);
});

/** Guards against a broker that hung in process.exit. `rounds`: how hot the functions are, and so which compiler is at work. */
for (const rounds of [9, 11, 14])
  test(`a process whose heap is kept small ends while code is being compiled (${rounds} rounds)`, () => {
    const program = `
      import { writeSync } from "node:fs";
      import { loadOwnHeap } from ${JSON.stringify(new URL("../platform.ts", import.meta.url).href)};
      (await loadOwnHeap()).keepSmall();
      process.on("exit", (status) => writeSync(1, "listeners run: " + status));
      const body = "s = (s * 31 + 7) | 0; if (s & 1) s += x; ".repeat(30);
      const functions = Array.from({ length: 3000 }, (_, n) => new Function("x", "let s = " + n + "; " + body + "return s;"));
      for (let round = 0; round < ${rounds}; round++) for (const call of functions) call(round);
      process.exit(7);
    `;
    const args = ["--concurrent-sparkplug", "--import", "tsx", "--input-type=module", "--eval", program];
    const { status, signal, stdout, stderr } = spawnSync(process.execPath, args, {
      encoding: "utf8",
      env: {},
      timeout: 60_000,
    });
    assert.deepEqual([status, signal, stdout, stderr], [7, null, "listeners run: 7", ""]);
  });

test("a profile that was asked for is written all the same", (t) => {
  const directory = mkdtempSync(join(tmpdir(), "prof-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const program = `
    import { loadOwnHeap } from ${JSON.stringify(new URL("../platform.ts", import.meta.url).href)};
    (await loadOwnHeap()).keepSmall();
    process.exit(7);
  `;
  const args = [
    "--cpu-prof",
    `--cpu-prof-dir=${directory}`,
    "--import",
    "tsx",
    "--input-type=module",
    "--eval",
    program,
  ];
  assert.equal(spawnSync(process.execPath, args, { env: {} }).status, 7);
  assert.notEqual(readdirSync(directory).length, 0);
});

// In a process of its own, whose heap nothing else uses. V8 writes a line for each collection as it makes it, while Node
// tells a PerformanceObserver of it some turns later: with that this test counted collections of an earlier call.
test("garbage is collected, and without more of it there is no further collection", () => {
  const program = `
    import { writeSync } from "node:fs";
    import { getHeapStatistics } from "node:v8";
    import { createOwnHeap } from ${JSON.stringify(new URL("./own-heap.ts", import.meta.url).href)};
    const heap = createOwnHeap(() => {});
    let living = Array.from({ length: 500_000 }, (_, n) => ({ n }));
    const before = getHeapStatistics().used_heap_size;
    if (living.length !== 500_000) throw new Error("the heap was not filled");
    living = undefined;
    writeSync(1, "first\\n");
    heap.tidy();
    writeSync(1, "freed " + (before - getHeapStatistics().used_heap_size) + "\\n");
    heap.tidy();
    writeSync(1, "gc is " + typeof globalThis.gc + "\\n");
  `;
  const args = ["--trace-gc", "--import", "tsx", "--input-type=module", "--eval", program];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8", env: {} });
  assert.deepEqual([status, stderr], [0, ""]);
  const [, first = "", freed = "", second = "", gc] =
    /\nfirst\n(.*)freed (-?\d+)\n(.*)gc is (\w+)\n/s.exec(stdout) ?? [];
  assert.match(first, /Mark-Compact/);
  assert.ok(Number(freed) > 8 * MB, `freed ${freed} bytes`);
  assert.doesNotMatch(second, /Mark-Compact/);
  assert.equal(gc, "undefined");
});
