/**
 * Makes the n-th call of node:fs, node:os, node:child_process, the C library or process.cwd() fail, as it does when descriptors run out or a
 * disk breaks. Bundles and modules see it alike, whichever way they import.
 */
import childProcess from "node:child_process";
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import os from "node:os";
import { failLibc } from "../../support/libc-faults.mjs";

let armed;

/** Counts calls from now on, and makes the n-th throw `errno`; 0: none. */
export function arm(n, errno) {
  armed = { n, errno, calls: 0, failed: undefined };
}

/** How many calls there were, and the name of the one that failed. */
export function disarm() {
  const { calls, failed } = armed;
  armed = undefined;
  return { calls, failed };
}

function fails(name) {
  if (armed === undefined) return false;
  armed.calls += 1;
  if (armed.calls !== armed.n) return false;
  armed.failed = name;
  return true;
}

function failure(name, path) {
  const { errno } = armed;
  const syscall = name.replace(/Sync$/, "");
  const where = typeof path === "string" ? { path } : {};
  return Object.assign(new Error(`${errno}: injected, ${syscall}`), { code: errno, errno: -1, syscall, ...where });
}

function wrap(owner, name, prefix = "") {
  const real = owner[name];
  owner[name] = Object.assign(function (...args) {
    if (!fails(prefix + name)) return real.apply(this, args);
    // A close that fails has closed all the same (close(2)).
    if (name === "closeSync") real.apply(this, args);
    if (name === "existsSync") return false;
    throw failure(name, args[0]);
  }, real);
}

for (const name of Object.keys(fs)) if (name.endsWith("Sync") && typeof fs[name] === "function") wrap(fs, name);
wrap(fs, "watch");
for (const name of ["open", "readFile", "stat", "writeFile", "mkdir"]) {
  const real = fs.promises[name];
  fs.promises[name] = async (...args) => {
    if (fails(`promises.${name}`)) throw failure(name, args[0]);
    return real(...args);
  };
}
for (const name of ["hostname", "homedir"]) wrap(os, name);
const userInfo = os.userInfo;
os.userInfo = (...args) => {
  if (!fails("userInfo")) return userInfo(...args);
  const { errno } = armed;
  throw Object.assign(new Error("A system error occurred"), {
    code: "ERR_SYSTEM_ERROR",
    info: { errno: -1, code: errno, message: "injected", syscall: "uv_os_get_passwd" },
  });
};
wrap(childProcess, "spawn");
wrap(process, "cwd");
syncBuiltinESMExports();

failLibc((name) => (fails(`libc ${name}`) ? armed.errno : undefined));
