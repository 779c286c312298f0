#!/usr/bin/env node
import { createProcessIo } from "./process-io.ts";
import { runProgram } from "./program.ts";

const io = createProcessIo();
await io.exit(await runProgram(io));
