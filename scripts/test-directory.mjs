/**
 * Runs the test files of one directory in this process, each as a suite that is named after its file, one after the
 * other: the next file is loaded when the tests of the one before it have ended. A start of Node, of the transpiler and
 * of all modules for each file would take as much processor time as the tests themselves.
 */
import { relative } from "node:path";
import { describe, test } from "node:test";
import { pathToFileURL } from "node:url";

/** For one file: the longest takes a quarter of it. */
const FILE_TIMEOUT_MS = 120_000;
/** Nothing is awaited then, so that only a handle that was left open can use it up. */
const EXIT_TIMEOUT_MS = 30_000;

export async function runTestFiles(files) {
  let left = files.length;
  process.once("exit", () => {
    if (left === 0) return;
    console.error(
      `the process ended before ${left} of ${files.length} test files had: ${files.slice(-left).join(" ")}`,
    );
    process.exitCode = 1;
  });
  for (const file of files) {
    await describe(relative("", file), { timeout: FILE_TIMEOUT_MS }, () => load(file));
    left--;
  }
  // It keeps nothing alive itself.
  setTimeout(() => {
    console.error(`left open by one of ${files.join(" ")}: ${process.getActiveResourcesInfo().join(", ")}`);
    process.exit(1);
  }, EXIT_TIMEOUT_MS).unref();
}

/** A file that cannot be loaded has one test, which fails: a failing suite alone is not counted. */
async function load(file) {
  try {
    await import(pathToFileURL(file).href);
  } catch (error) {
    test("the file loads", () => Promise.reject(error));
  }
}
