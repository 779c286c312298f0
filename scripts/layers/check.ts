/**
 * Holds every file of a checkout to the table of layers and to the limits of size: prints what breaks a rule and exits 1, and
 * at the end says what it has counted.
 *
 *   node --import tsx scripts/layers/check.ts
 */
import { fileURLToPath } from "node:url";
import { checkSources } from "./check-sources.ts";
import { LIMITS } from "./limits.ts";
import { LAYERS } from "./table.ts";

const { faults, summary } = checkSources(fileURLToPath(new URL("../..", import.meta.url)), LAYERS, LIMITS);
for (const fault of faults) console.error(fault);
console.log(summary);
if (faults.length > 0) process.exitCode = 1;
