#!/usr/bin/env node
import { runCompat } from "./compat-program.ts";
import { createProcessIo } from "./process-io.ts";

const io = createProcessIo();
await io.exit(await runCompat(io));
