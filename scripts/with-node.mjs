/** Runs a command with another version of Node first in PATH: `node scripts/with-node.mjs 26 npm run demo`. */
import { spawnSync } from "node:child_process";
import { isVersionRange, provideNode } from "./node-versions.mjs";

const [range, file, ...args] = process.argv.slice(2);
if (!isVersionRange(range) || file === undefined) {
  console.error(
    `usage: node scripts/with-node.mjs VERSION COMMAND [ARGUMENT …]; got ${process.argv.slice(2).join(" ")}`,
  );
  process.exit(2);
}
const { env } = provideNode(range);
process.exitCode = spawnSync(file, args, { stdio: "inherit", env }).status ?? 1;
