#!/usr/bin/env node
import "./without-debugger.ts";

import { createProcessIo } from "./process-io.ts";
import { isBroker, runProgram } from "./program.ts";

void main();

async function main(): Promise<void> {
  // Before anything of our own is open, a terminal's stream included.
  if (isBroker(process.argv.slice(2))) await (await import("./inherited-descriptors.ts")).closeAllButOurs(process.env);
  const io = createProcessIo();
  await io.exit(await runProgram(io));
}
