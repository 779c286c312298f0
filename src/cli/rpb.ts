#!/usr/bin/env node
import { createProcessIo } from "./process-io.ts";
import { runProgram } from "./program.ts";

const io = createProcessIo();
void runProgram(io).then((code) => io.exit(code));
