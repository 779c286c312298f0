/**
 * Runs every test file in a temporary directory of its own and then looks whether something was left: a process that
 * knows the directory, or a file in it. Arguments narrow the run to files whose path contains one of them.
 */
import { spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";

const wanted = process.argv.slice(2).filter((arg) => !arg.startsWith("--"));
const flags = process.argv.slice(2).filter((arg) => arg.startsWith("--"));
const files = (
  await Promise.all(
    ["src", "test"].map((dir) =>
      readdir(dir, { recursive: true }).then((names) => names.map((name) => join(dir, name))),
    ),
  )
)
  .flat()
  .filter((file) => file.endsWith(".test.ts") && (wanted.length === 0 || wanted.some((part) => file.includes(part))))
  .sort();

// As short as can be, because the socket paths below it must fit into 107 bytes.
const temporary = mkdtempSync("/tmp/t");
// Some tests become another user, who must be able to pass through.
chmodSync(temporary, 0o711);
const started = performance.now();
const { status } = spawnSync(
  process.execPath,
  ["--import", "tsx", "--test", "--test-concurrency=2", "--test-timeout=120000", ...flags, ...files],
  {
    stdio: "inherit",
    env: { ...process.env, TMPDIR: temporary },
  },
);

// The transpiler's cache, which spares half of the processor time, goes to where all temporary files go.
const files_left = readdirSync(temporary).filter((name) => !/^tsx-\d+$/.test(name));
const processes_left = readdirSync("/proc").filter(
  (pid) => /^\d+$/.test(pid) && Number(pid) !== process.pid && environmentOf(pid).includes(temporary),
);
rmSync(temporary, { recursive: true, force: true });
for (const name of files_left) console.error(`left behind: ${join(temporary, name)}`);
for (const pid of processes_left) console.error(`left behind: process ${pid}`);
console.log(
  `${files.length} files in ${((performance.now() - started) / 1000).toFixed(1)} s, ${files_left.length + processes_left.length} things left behind`,
);
process.exitCode = status !== 0 || files_left.length + processes_left.length > 0 ? 1 : 0;

function environmentOf(pid) {
  try {
    return readFileSync(`/proc/${pid}/environ`, "latin1");
  } catch {
    return "";
  }
}
