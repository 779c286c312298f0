#!/usr/bin/env node
import "./shell/without-debugger.ts";

import { runMain } from "./main.ts";
import { isBroker, runProgram } from "./program.ts";
import { reportFailure } from "./shell/exit.ts";

void runMain({ isBroker, run: runProgram, fail: reportFailure });
