/**
 * Replaces the entries that tsc has put into dist by bundles: a command-line tool pays for every file it loads, at every
 * run. A library is one module, but for what the client loads only once it is sure to be used. The error class is one
 * file for all libraries, so that an error is of the same class whichever entry it came from. A program is one CommonJS
 * file, which Node starts without its module loader. The modules themselves stay in dist for benchmarks and test
 * fixtures; the package has the bundles and the types.
 *
 * Bundles lie as deep as their sources, which look for files beside them.
 */
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const project = fileURLToPath(new URL("..", import.meta.url));
const { exports, bin } = JSON.parse(read("package.json"));

/** Loaded as they are: native code, worker threads, and what requires other files of its own. */
const EXTERNAL = ["@koromix/*", "pino-pretty", "tar", "hash-wasm"];
const ERRORS = "dist/base/errors.js";
/** All that a client needs to reach a broker. */
const CLIENT_RUNTIME = "dist/client/runtime.js";

const MODULE = { format: "esm" };
/** With what modules know about themselves. */
const SCRIPT = {
  format: "cjs",
  banner: { js: 'const moduleUrl = require("node:url").pathToFileURL(__filename).href;' },
  define: { "import.meta.url": "moduleUrl", "import.meta.dirname": "__dirname" },
};

const libraries = Object.values(exports).flatMap((entry) => entry?.default ?? []);
const inputs = [
  ...(await bundle(ERRORS, MODULE)),
  ...(await bundle(CLIENT_RUNTIME, MODULE, [ERRORS])),
  ...(await Promise.all(libraries.map((path) => bundle(path, MODULE, [ERRORS, CLIENT_RUNTIME])))).flat(),
  ...(await Promise.all(Object.values(bin).map((path) => bundle(path, SCRIPT)))).flat(),
];
// Else there would be two programs of one name, of which one is slow.
for (const path of Object.values(bin)) rmSync(join(project, path.replace(/\.cjs$/, ".js")));
writeFileSync(join(project, "dist/THIRD-PARTY-LICENSES.txt"), licencesOf(inputs));

/** `apart`: files of dist that it is to import. Returns the files that went into it. */
async function bundle(path, kind, apart = []) {
  const { metafile } = await build({
    absWorkingDir: project,
    entryPoints: [sourceOf(path)],
    outfile: path,
    allowOverwrite: true,
    bundle: true,
    platform: "node",
    target: "node20.19",
    external: EXTERNAL,
    plugins: [keepApart(apart, isRoot(path) ? "./" : "../")],
    metafile: true,
    logLevel: "warning",
    ...kind,
  });
  return Object.keys(metafile.inputs);
}

/** `up`: from the directory of the file that imports them to dist. */
function keepApart(paths, up) {
  const sources = new Map(paths.map((path) => [join(project, sourceOf(path)), path.replace(/^(\.\/)?dist\//, "")]));
  return {
    name: "keep-apart",
    setup({ onResolve }) {
      onResolve({ filter: /^\.{1,2}\// }, ({ path, resolveDir, kind }) => {
        const target = kind === "entry-point" ? undefined : sources.get(join(resolveDir, path));
        return target && { path: up + target, external: true };
      });
    },
  };
}

function isRoot(path) {
  return sourceOf(path) === "src/index.ts";
}

function sourceOf(path) {
  return path.replace(/^(\.\/)?dist\//, "src/").replace(/\.c?js$/, ".ts");
}

/** The licence of every package that has become part of the bundles. */
function licencesOf(inputs) {
  const directories = new Set(inputs.map(packageOf).filter(Boolean));
  return [...directories]
    .sort()
    .map((directory) => {
      const files = inputs.filter((path) => packageOf(path) === directory);
      const { name, version, license } = JSON.parse(read(directory, "package.json"));
      return `${name} ${version} (${license})\n\n${licenceText(directory) ?? noticesIn(files)}`;
    })
    .join(`\n${"-".repeat(100)}\n\n`);
}

function packageOf(path) {
  return /^node_modules\/(@[^/]+\/)?[^/]+/.exec(path)?.[0];
}

function licenceText(directory) {
  const name = ["LICENSE", "LICENSE.md", "LICENSE.txt"].find((each) => existsSync(join(project, directory, each)));
  return name && read(directory, name);
}

/** A package without a licence file has it at the head of its sources. */
function noticesIn(files) {
  const heads = files.map((path) => /^(\/\/.*\n)+/.exec(read(path))?.[0] ?? "");
  const notices = [...new Set(heads)].filter((head) => head.includes("Copyright"));
  if (notices.length === 0) throw new Error(`${files[0]} and its neighbours do not say what their licence is`);
  const text = notices.join("\n").replaceAll(/^\/\/ ?/gm, "");
  return text.includes("Apache License") ? `${text}\n${read("scripts/Apache-2.0.txt")}` : text;
}

function read(...path) {
  return readFileSync(join(project, ...path), "utf8");
}
