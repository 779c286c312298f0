#!/usr/bin/env node
import "./without-debugger.ts";

import { reportFailure } from "./exit.ts";
import { runMain } from "./main.ts";
import { isBroker, runProgram } from "./program.ts";

void runMain({ isBroker, run: runProgram, fail: reportFailure });
