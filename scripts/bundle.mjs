/**
 * Replaces the entries that tsc has put into dist by bundles: loading a client of 160 small modules takes twice the
 * processor time of the same client in twenty files, and a command-line tool pays for that at every run. What is imported
 * only when it is needed stays apart, and what several entries share is there once (dist/chunks). The modules themselves
 * stay in dist for benchmarks and test fixtures; the package has the bundles and the types.
 *
 * Chunks lie one directory below dist, like every entry: sources that look for a file beside them find it from either.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const project = fileURLToPath(new URL("..", import.meta.url));
const { exports, bin } = JSON.parse(read("package.json"));
const libraries = Object.values(exports).flatMap((entry) => entry?.default ?? []);

/** Loaded as they are: native code, worker threads, and CommonJS that requires Node's own modules. */
const EXTERNAL = ["koffi", "pino", "pino-pretty", "commander", "tar", "hash-wasm"];

// The libraries share what they share, so that a class is one class whichever entry it came from. The programs are by
// themselves: with them in the same build everything would fall into twice as many pieces.
const inputs = [...(await bundle(libraries)), ...(await bundle(Object.values(bin)))];
writeFileSync(join(project, "dist/THIRD-PARTY-LICENSES.txt"), licencesOf(inputs));

/** The files that went into it. */
async function bundle(entries) {
  const { metafile } = await build({
    absWorkingDir: project,
    entryPoints: entries.map((path) => path.replace("./dist/", "src/").replace(/\.js$/, ".ts")),
    outbase: "src",
    outdir: "dist",
    chunkNames: "chunks/[name]-[hash]",
    allowOverwrite: true,
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    target: "node20.19",
    external: EXTERNAL,
    metafile: true,
    logLevel: "warning",
    // Comments and indentation are a third of what Node has to read; names stay, for stack traces.
    minifyWhitespace: true,
  });
  return Object.keys(metafile.inputs);
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
