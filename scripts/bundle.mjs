/**
 * Replaces the entries that tsc has put into dist by bundles: a command-line tool pays for every file it loads, at every
 * run. What a library imports only when it is needed stays apart, and what its parts share is there once (dist/chunks).
 * The error class is one file for all libraries, so that an error is of the same class whichever entry it came from. The
 * programs are one file each, but for what comes before the heap is set up. The modules themselves stay in dist for
 * benchmarks and test fixtures; the package has the bundles and the types.
 *
 * Chunks lie as deep as their entry: sources that look for a file beside them find it from either.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const project = fileURLToPath(new URL("..", import.meta.url));
const { exports, bin } = JSON.parse(read("package.json"));
const libraries = Object.values(exports).flatMap((entry) => entry?.default ?? []);

/** Loaded as they are: native code, worker threads, and what requires other files of its own. */
const EXTERNAL = ["koffi", "pino-pretty", "tar", "hash-wasm"];
/** What that is in a file that is not CommonJS. */
const REQUIRE = 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);';
const ERRORS = "dist/base/errors.js";
/** Loaded by `rpb` once its heap is set up. */
const PROGRAM = "dist/cli/program.js";

const inputs = [
  ...(await bundle(ERRORS)),
  ...(await Promise.all(libraries.map((path) => bundle(path, { apart: [ERRORS], splitting: true })))).flat(),
  ...(await Promise.all([PROGRAM, ...Object.values(bin)].map((path) => bundle(path, { apart: [PROGRAM] })))).flat(),
];
writeFileSync(join(project, "dist/THIRD-PARTY-LICENSES.txt"), licencesOf(inputs));

/** `apart`: files of dist that it is to import. Returns the files that went into it. */
async function bundle(path, { apart = [], splitting = false } = {}) {
  const { metafile } = await build({
    absWorkingDir: project,
    entryPoints: [sourceOf(path)],
    outbase: "src",
    outdir: "dist",
    chunkNames: isRoot(path) ? "[name]-[hash]" : "chunks/[name]-[hash]",
    allowOverwrite: true,
    bundle: true,
    splitting,
    format: "esm",
    platform: "node",
    target: "node20.19",
    external: EXTERNAL,
    plugins: [keepApart(apart, isRoot(path) ? "./" : "../")],
    // CommonJS inside a bundle requires Node's own modules.
    banner: splitting ? {} : { js: REQUIRE },
    metafile: true,
    logLevel: "warning",
    // Comments and indentation are a third of what Node has to read; names stay, for stack traces.
    minifyWhitespace: true,
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
  return path.replace(/^(\.\/)?dist\//, "src/").replace(/\.js$/, ".ts");
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
