// `rpb`, leaving a line in the file BENCH_COUNT, by which its starts are counted.
import { appendFileSync } from "node:fs";

appendFileSync(process.env.BENCH_COUNT, `broker ${process.pid}\n`);
await import("../../dist/cli/rpb.cjs");
