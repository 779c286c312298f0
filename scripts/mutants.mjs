/**
 * Does the suite find small faults? `npm run mutants [-- PART …]` makes the faults of mutants-table.mjs (those whose name
 * contains a PART), one at a time, and runs the tests that are expected to fail. It works in a copy of the checkout,
 * uncommitted changes included, which it removes.
 *
 * Exit status: 0 when every mutant was found, 1 when one survived or a test fails without any mutant, 2 when the table
 * does not fit the sources or no mutant is chosen, 130 and 143 after SIGINT and SIGTERM.
 */
import { execFileSync, spawn } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { MUTANTS } from "./mutants-table.mjs";

/** A mutant whose tests take longer hangs them, and is found. The slowest needs a tenth of it. */
const DEADLINE_MS = 300_000;
const FOREVER_MS = 2 ** 31 - 1;
const unprivileged = process.getuid() === 0 ? "" : ", or one that needs root was skipped";

const project = fileURLToPath(new URL("..", import.meta.url));
const parts = process.argv.slice(2);
const interruption = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => interruption.abort(signal));

const chosen = MUTANTS.filter(({ name }) => parts.length === 0 || parts.some((part) => name.includes(part)));
const located = chosen.map(locate);
const faults = located.flatMap(({ faults }) => faults);
if (chosen.length === 0)
  faults.push(`no mutant's name contains ${parts.join(" or ")}; the names are in scripts/mutants-table.mjs`);
if (faults.length > 0) {
  for (const fault of faults) console.error(fault);
  process.exit(2);
}

const copy = copyCheckout();
try {
  process.exitCode = (await runAll()) ? 0 : 1;
} catch (error) {
  if (!interruption.signal.aborted) throw error;
  process.exitCode = 128 + constants.signals[interruption.signal.reason];
} finally {
  rmSync(copy, { recursive: true, force: true, maxRetries: 5 });
}

/** Where a mutant is made, and the paths of its tests; `faults` says what of the table does not fit the sources. */
function locate(mutant) {
  const { name, text, replacement, tests } = mutant;
  const faults = [];
  const holders = filesBelow("src").filter((path) => path.endsWith(".ts") && !path.endsWith(".test.ts"));
  const places = holders.flatMap((path) => new Array(read(path).split(text).length - 1).fill(path));
  if (places.length !== 1)
    faults.push(
      `mutant "${name}": its text must be in src exactly once, and is there ${places.length} times` +
        `${places.length === 0 ? "" : ` (${places.join(", ")})`}: ${JSON.stringify(text)}`,
    );
  if (text === replacement) faults.push(`mutant "${name}": its replacement is its text`);
  if (tests.length === 0) faults.push(`mutant "${name}": no test is named that finds it`);
  const known = [...filesBelow("src"), ...filesBelow("test")];
  const paths = tests.flatMap((test) => {
    const found = known.filter((path) => path.endsWith(`/${test}`));
    if (found.length === 0) faults.push(`mutant "${name}": there is no test file ${test} below src or test`);
    return found;
  });
  return { ...mutant, path: places[0], paths, faults };
}

async function runAll() {
  console.log(`without a mutant, in ${copy}`);
  await build();
  const sound = await runTests([...new Set(located.flatMap(({ paths }) => paths))], FOREVER_MS);
  if (sound.failure !== undefined) {
    console.error(`fails without a mutant, so that no mutant can be told from it: ${sound.failure}\n${sound.output}`);
    return false;
  }
  let found = 0;
  for (const mutant of located) {
    const { failure, seconds } = await tryMutant(mutant);
    if (failure !== undefined) found++;
    console.log(
      `${failure === undefined ? "SURVIVED" : "found   "} ${seconds.toFixed(1).padStart(5)} s  ${mutant.name}`,
    );
    console.log(
      `                  by ${failure ?? `none of ${mutant.tests.join(", ")}: a test is missing${unprivileged}`}`,
    );
  }
  console.log(`${found} of ${located.length} mutants found`);
  return found === located.length;
}

async function tryMutant({ name, path, text, replacement, paths }) {
  const file = join(copy, path);
  const source = readFileSync(file, "utf8");
  // A function, because "$&" and its like mean something in a text.
  writeFileSync(
    file,
    source.replace(text, () => replacement),
  );
  try {
    // What tests below test/ start as processes of their own is the built program; those beside the sources load these.
    if (paths.some((each) => each.startsWith("test/"))) await build();
    const first = await runTests(paths, DEADLINE_MS);
    // A test that fails now and then has found nothing.
    const result = first.failure === undefined || first.late ? first : await runTests(paths, DEADLINE_MS);
    if (result.failure === "the file loads")
      throw new Error(`mutant "${name}" is none: with it the program cannot be loaded\n${result.output}`);
    return result;
  } finally {
    writeFileSync(file, source);
  }
}

/** As package.json says, without the check of types: a mutant that has a wrong type is one for the tests all the same. */
async function build() {
  const command = JSON.parse(read("package.json")).scripts.build.replace("tsc ", "tsc --noCheck ");
  const { status, output } = await run("sh", ["-c", command], FOREVER_MS);
  if (status !== 0) throw new Error(`the build fails: ${command}\n${output}`);
}

/** `failure` names the first test that failed, or says what else went wrong; undefined: everything passed. */
async function runTests(paths, limitMs) {
  const startedMs = performance.now();
  const { status, output } = await run(
    process.execPath,
    ["scripts/run-tests.mjs", "--test-reporter=tap", ...paths],
    limitMs,
  );
  const seconds = (performance.now() - startedMs) / 1000;
  if (status === 0) return { failure: undefined, seconds, output };
  if (status === "late") return { failure: `no end within ${limitMs / 1000} s`, late: true, seconds, output };
  // Inner tests are reported before those they are part of.
  const failed =
    /^ *not ok \d+ - (?!.* # (?:SKIP|TODO))(.*)$/m.exec(output)?.[1] ?? /^left behind: .*$/m.exec(output)?.[0];
  return { failure: failed ?? `exit status ${status}`, seconds, output };
}

/**
 * Runs a command in the copy. `status` is "late" when it was ended for that. Its process group is ended by SIGTERM, upon
 * which run-tests.mjs ends what its tests have started.
 *
 * @throws the reason of the interruption
 */
function run(command, args, limitMs) {
  const { signal } = interruption;
  signal.throwIfAborted();
  return new Promise((resolve, reject) => {
    const env = { ...process.env, PATH: `${join(copy, "node_modules/.bin")}:${process.env.PATH}` };
    const child = spawn(command, args, { cwd: copy, env, detached: true, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    let late = false;
    const end = () => endGroup(child);
    const timer = setTimeout(() => {
      late = true;
      end();
    }, limitMs);
    signal.addEventListener("abort", end);
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (text) => (output += text));
    child.on("error", reject);
    child.on("close", (code, endedBy) => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      if (signal.aborted) reject(signal.reason);
      else resolve({ status: late ? "late" : (code ?? endedBy), output });
    });
  });
}

function endGroup({ pid }) {
  try {
    if (pid !== undefined) process.kill(-pid, "SIGTERM");
  } catch (error) {
    // Its last process has ended just now.
    if (error.code !== "ESRCH") throw error;
  }
}

/** What git has or would take, as it lies in the checkout; installed packages are linked. */
function copyCheckout() {
  const directory = mkdtempSync(join(tmpdir(), "rpb-mutants-"));
  // Some tests become another user, who must be able to pass through.
  chmodSync(directory, 0o755);
  const list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
  const paths = execFileSync("git", list, { cwd: project, encoding: "utf8", maxBuffer: 2 ** 26 }).split("\0");
  for (const path of paths.filter((each) => each !== "" && existsSync(join(project, each))))
    cpSync(join(project, path), join(directory, path));
  symlinkSync(join(project, "node_modules"), join(directory, "node_modules"));
  return directory;
}

function filesBelow(directory) {
  return readdirSync(join(project, directory), { recursive: true }).map((name) => join(directory, name));
}

function read(path) {
  return readFileSync(join(project, path), "utf8");
}
