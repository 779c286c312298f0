#!/usr/bin/env node
import "./shell/without-debugger.ts";

import { failCompat, isBroker, runCompat } from "./compat/program.ts";
import { runMain } from "./main.ts";

void runMain({ isBroker, run: runCompat, fail: failCompat });
