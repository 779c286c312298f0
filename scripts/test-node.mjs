/**
 * Runs the test suite, or the parts that are named, with another Node: `npm run test:node -- 26 [PART …]`. `26` is the
 * newest 26 of the npm registry, `26.4` the newest 26.4, `20.19.0` exactly that one.
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { isVersionRange, provideNode } from "./node-versions.mjs";

const [range, ...parts] = process.argv.slice(2);
if (!isVersionRange(range)) {
  console.error(
    `usage: npm run test:node -- VERSION [PART OF A TEST FILE'S PATH …], for example 26 or 24.3.0; got ${range ?? "no version"}`,
  );
  process.exit(2);
}
const { node, env } = provideNode(range);
spawnSync(node, ["--eval", 'console.log("Node", process.version)'], { stdio: "inherit", env });
const runner = fileURLToPath(new URL("run-tests.mjs", import.meta.url));
process.exitCode = spawnSync(node, [runner, ...parts], { stdio: "inherit", env }).status ?? 1;
