import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { constants, PerformanceObserver } from "node:perf_hooks";
import test from "node:test";
import { getHeapStatistics } from "node:v8";
import { createOwnHeap } from "./own-heap.ts";

const MB = 1024 * 1024;

/** How much larger the young generation has become in a process that made a lot of garbage, of which some lived on for a while. */
function grownYoungBytes(small: boolean): number {
  const program = `
    import { getHeapSpaceStatistics } from "node:v8";
    import { createOwnHeap } from ${JSON.stringify(new URL("./own-heap.ts", import.meta.url).href)};
    const youngBytes = () => getHeapSpaceStatistics().find((space) => space.space_name === "new_space").physical_space_size;
    if (${small}) createOwnHeap().keepSmall();
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

test("what nobody needs any more is collected, and without more of it there is no further collection", async (t) => {
  const heap = createOwnHeap();
  let collections = 0;
  const observer = new PerformanceObserver((list) => {
    for (const { detail } of list.getEntries() as unknown as { detail: { kind: number } }[])
      if (detail.kind === constants.NODE_PERFORMANCE_GC_MAJOR) collections++;
  });
  observer.observe({ entryTypes: ["gc"] });
  t.after(() => observer.disconnect());
  let living: unknown[] | undefined = Array.from({ length: 500_000 }, (_, n) => ({ n }));
  const before = getHeapStatistics().used_heap_size;
  assert.equal(living.length, 500_000);
  living = undefined;
  heap.tidy();
  assert.ok(before - getHeapStatistics().used_heap_size > 8 * MB);
  await told();
  assert.ok(collections > 0);
  collections = 0;
  heap.tidy();
  await told();
  assert.equal(collections, 0);
  assert.equal((globalThis as { gc?: unknown }).gc, undefined);
});

/** Node tells of a collection in a later turn. */
async function told(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
}
