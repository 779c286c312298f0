#!/usr/bin/env node
import { runCompat } from "./compat-program.ts";
import { createProcessIo } from "./process-io.ts";

const io = createProcessIo();
void runCompat(io).then((code) => io.exit(code));
