#!/usr/bin/env node
// The measured backend: the ready-made server of the SDK, answering with what it was sent. With BENCH_COUNT set, it
// leaves a line in that file, by which its starts are counted.
import { appendFileSync } from "node:fs";
import { serve } from "running-process-broker/backend";

if (process.env.BENCH_COUNT !== undefined) appendFileSync(process.env.BENCH_COUNT, `backend ${process.pid}\n`);
await serve({ protocol: 0xf101, handle: ({ payload }) => payload });
