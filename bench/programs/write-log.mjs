#!/usr/bin/env node
// Writes lines to its standard error as fast as it is told, then says how many bytes it got rid of and stays.
// Arguments: MB/s, seconds, and a file for that number; without the file it ends. What finds no room is not written again.
import { writeFileSync, writeSync } from "node:fs";

const [rate, seconds, report] = process.argv.slice(2);
const block = Buffer.from(`${"a".repeat(99)}\n`.repeat(10_000));
const begin = performance.now();
const elapsedMs = () => performance.now() - begin;
let bytes = 0;
while (elapsedMs() < Number(seconds) * 1000) {
  try {
    bytes += writeSync(2, block);
  } catch {
    // The disk is full for the moment.
  }
  const aheadMs = bytes / (Number(rate) * 1e3) - elapsedMs();
  if (aheadMs > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, aheadMs);
}
if (report !== undefined) {
  writeFileSync(report, JSON.stringify({ bytes, ms: elapsedMs() }));
  setInterval(() => {}, 1e9);
}
