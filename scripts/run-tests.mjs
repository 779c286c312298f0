/**
 * Runs all test files, those of one directory in one process (test-directory.mjs) and three directories at a
 * time, because each of them waits for processes it has started, with a temporary directory of its own, and then looks whether something was left: a process that knows that directory, or
 * a file in it. What was left is named and ended or removed, also after SIGINT and SIGTERM, which end the run. Arguments
 * narrow the run to files whose path contains one of them; those with dashes go to `node`.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";

const wanted = process.argv.slice(2).filter((arg) => !arg.startsWith("--"));
const flags = process.argv.slice(2).filter((arg) => arg.startsWith("--"));
const files = (
  await Promise.all(
    // The end-to-end tests first: the short unit tests fill what is left of the time at the end.
    ["test", "src"].map((dir) =>
      readdir(dir, { recursive: true }).then((names) => names.sort().map((name) => join(dir, name))),
    ),
  )
)
  .flat()
  .filter((file) => file.endsWith(".test.ts") && (wanted.length === 0 || wanted.some((part) => file.includes(part))));

// As short as can be, because the socket paths below it must fit into 107 bytes.
const temporary = mkdtempSync("/tmp/t");
// Some tests become another user, who must be able to pass through.
chmodSync(temporary, 0o711);
const started = performance.now();
const tests = spawn(
  process.execPath,
  ["--import", "tsx", "--test", "--test-concurrency=3", "--test-timeout=900000", ...flags, ...entriesFor(files)],
  {
    stdio: "inherit",
    env: { ...process.env, TMPDIR: temporary },
  },
);
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => tests.kill(signal));
const [status] = await once(tests, "exit");

// The transpiler's cache, which spares half of the processor time, goes to where all temporary files go.
const files_left = readdirSync(temporary).filter((name) => name !== "entries" && !/^tsx-\d+$/.test(name));
const processes_left = readdirSync("/proc").filter(
  (pid) => /^\d+$/.test(pid) && Number(pid) !== process.pid && environmentOf(pid).includes(temporary),
);
for (const pid of processes_left) end(Number(pid));
rmSync(temporary, { recursive: true, force: true });
for (const name of files_left) console.error(`left behind: ${join(temporary, name)}`);
for (const pid of processes_left) console.error(`left behind: process ${pid}`);
console.log(
  `${files.length} files in ${((performance.now() - started) / 1000).toFixed(1)} s, ${files_left.length + processes_left.length} things left behind`,
);
process.exitCode = status !== 0 || files_left.length + processes_left.length > 0 ? 1 : 0;

/** One program for each directory of test files, since `node --test` starts a process for each file it is given. */
function entriesFor(testFiles) {
  const runner = resolve("scripts/test-directory.mjs");
  const entries = join(temporary, "entries");
  mkdirSync(entries);
  return [...new Set(testFiles.map(dirname))].map((directory) => {
    const own = testFiles.filter((file) => dirname(file) === directory).map((file) => resolve(file));
    const entry = join(entries, `${directory.replaceAll("/", "-")}.test.mjs`);
    writeFileSync(
      entry,
      `import { runTestFiles } from ${JSON.stringify(runner)};\nawait runTestFiles(${JSON.stringify(own)});\n`,
    );
    return entry;
  });
}

function end(pid) {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended meanwhile.
  }
}

function environmentOf(pid) {
  try {
    return readFileSync(`/proc/${pid}/environ`, "latin1");
  } catch {
    return "";
  }
}
