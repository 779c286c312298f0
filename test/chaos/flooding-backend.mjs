#!/usr/bin/env node
// Answers with what it was sent; for "flood MBPS SECONDS" a process of its own also writes that much to its standard error.
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { serve } from "running-process-broker/backend";

const WRITER = fileURLToPath(new URL("../../bench/programs/write-log.mjs", import.meta.url));

await serve({
  protocol: 0xf101,
  handle: ({ payload }) => {
    const [, ...order] = /^flood (\d+) ([\d.]+)$/.exec(Buffer.from(payload).toString()) ?? [];
    if (order.length > 0) spawn(process.execPath, [WRITER, ...order], { stdio: ["ignore", "ignore", "inherit"] });
    return payload;
  },
});
