/**
 * What a user gets: packs the package, installs the archive into an empty project, and has test/package/packed.mjs run the
 * README's examples there. `npm run test:package -- [VERSION …]`: with each of these versions of Node, else the present one.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { isVersionRange, provideNode } from "./node-versions.mjs";

const ranges = process.argv.slice(2);
const wrong = ranges.find((range) => !isVersionRange(range));
if (wrong !== undefined) {
  console.error(`usage: npm run test:package -- [VERSION …], for example 22 26; got ${wrong}`);
  process.exit(2);
}
const project = fileURLToPath(new URL("..", import.meta.url));
const folder = mkdtempSync("/tmp/rpb-package-");
try {
  run("npm", ["pack", "--silent", "--pack-destination", folder], { cwd: project });
  const archive = join(
    folder,
    readdirSync(folder).find((name) => name.endsWith(".tgz")),
  );
  const nodes = ranges.length === 0 ? [{ node: process.execPath, env: process.env }] : ranges.map(provideNode);
  for (const [index, { node, env }] of nodes.entries()) {
    const installed = join(folder, String(index));
    mkdirSync(installed);
    writeFileSync(join(installed, "package.json"), '{ "private": true, "type": "module" }\n');
    run("npm", ["install", "--no-audit", "--no-fund", "--loglevel", "error", archive], { cwd: installed, env });
    run(node, ["--eval", 'console.log("Node", process.version)'], { env });
    run(node, ["--test", join(project, "test/package/packed.mjs")], { env: { ...env, INSTALLED_IN: installed } });
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}

function run(file, args, options) {
  const { status, error } = spawnSync(file, args, { stdio: "inherit", ...options });
  if (status !== 0) throw new Error(`${file} ${args.join(" ")} failed with status ${status}`, { cause: error });
}
