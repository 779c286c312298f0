#!/usr/bin/env node
import "./without-debugger.ts";

import { isBroker, runCompat } from "./compat-program.ts";
import { createProcessIo } from "./process-io.ts";

void main();

async function main(): Promise<void> {
  // Before anything of our own is open, a terminal's stream included.
  if (isBroker(process.argv.slice(2))) await (await import("./inherited-descriptors.ts")).closeAllButOurs(process.env);
  const io = createProcessIo();
  await io.exit(await runCompat(io));
}
