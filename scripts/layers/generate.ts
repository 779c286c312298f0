/**
 * Writes from the table of layers: the lint rules `noRestrictedImports` in biome.json, and the code map in
 * docs/architecture.md. With `--check` it only compares and exits 1 when one of them is stale.
 *
 *   npm run generate:layers
 *   node --import tsx scripts/layers/generate.ts [--check]
 */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual } from "node:util";
import { withParts } from "../generated-parts.ts";
import { codeMap } from "./code-map.ts";
import { type BiomeConfig, withLintRules } from "./lint-rules.ts";
import { sourceFiles } from "./sources.ts";
import { LAYERS } from "./table.ts";

const COMMAND = "npm run generate:layers";
const root = fileURLToPath(new URL("../..", import.meta.url));

const config = JSON.parse(readFileSync(`${root}/biome.json`, "utf8")) as BiomeConfig;
const wantedConfig = withLintRules(config, LAYERS);
// Compared as values: `biome check` holds the file to its own format.
if (!isDeepStrictEqual(config, wantedConfig)) write("biome.json", `${JSON.stringify(wantedConfig, null, 2)}\n`);

const document = readFileSync(`${root}/docs/architecture.md`, "utf8");
const wantedDocument = withParts("docs/architecture.md", document, codeMap(LAYERS, sourceFiles(root)), COMMAND);
if (document !== wantedDocument) write("docs/architecture.md", wantedDocument);

function write(name: string, text: string): void {
  if (process.argv.includes("--check")) {
    console.error(`${name} is not what scripts/layers/table.ts says; write it anew with: ${COMMAND}`);
    process.exitCode = 1;
  } else writeFileSync(`${root}/${name}`, text);
}
