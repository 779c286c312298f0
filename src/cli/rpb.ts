#!/usr/bin/env node
import { createProcessIo } from "./process-io.ts";

const io = createProcessIo();
// Before the rest is loaded: that alone would make the young heap four times as large, and it shrinks only much later.
if (io.args[0] === "serve") (await io.heap()).keepSmall();
const { runProgram } = await import("./program.ts");
await io.exit(await runProgram(io));
