/**
 * Directories that hold sockets and definitions. Whoever can write there decides what gets run, so they must be real
 * directories of ours, closed to others; an existing one is verified and never repaired, because repairing would hide
 * that somebody else could already have used it.
 */
import { lstatSync, mkdirSync, type Stats } from "node:fs";
import { dirname, isAbsolute, resolve } from "node:path";
import { BrokerError } from "../../base/errors.ts";
import { errnoOf, fromNodeError } from "../errno.ts";

const PRIVATE_MODE = 0o700;
const OTHERS = 0o077;
const WORLD_WRITABLE = 0o002;

/** @see Files.ensurePrivateDirectory */
export function ensurePrivateDirectory(path: string): void {
  if (!isAbsolute(path)) throw insecure(path, "kind", "it is not an absolute path");
  createMissing(resolve(path));
  if (!checkPrivateDirectory(path))
    throw new BrokerError("IO_FAILED", `directory ${path} vanished while it was being created`, {
      details: { path, errno: "ENOENT" },
    });
}

/** @see Files.checkPrivateDirectory */
export function checkPrivateDirectory(path: string): boolean {
  const leaf = resolve(path);
  const facts = lstat(leaf);
  if (facts === undefined) return false;
  checkOwn(leaf, facts);
  if ((facts.mode & OTHERS) !== 0) {
    throw insecure(
      leaf,
      "mode",
      `it has insecure permissions ${(facts.mode & 0o777).toString(8).padStart(4, "0")}, expected 0700 (mend with: chmod 700 ${leaf})`,
    );
  }
  // Whoever swaps an ancestor makes another directory appear here; while it is the same one, its ancestors are.
  const identity = `${facts.dev}:${facts.ino}`;
  if (verified.get(leaf) !== identity) {
    checkAncestors(leaf);
    if (verified.size >= MAX_VERIFIED) verified.clear();
    verified.set(leaf, identity);
  }
  return true;
}

/** Directories whose ancestors were looked at, by path: every Hello asks for the same one. */
const verified = new Map<string, string>();
const MAX_VERIFIED = 64;

/**
 * Below a directory that everybody may write to (such as /tmp) the first component can have been made by anybody;
 * it must be ours as well, or it could be swapped under us.
 */
function checkAncestors(leaf: string): void {
  for (let child = leaf, parent = dirname(child); parent !== child; child = parent, parent = dirname(child)) {
    const facts = lstat(parent);
    if (facts === undefined || (facts.mode & WORLD_WRITABLE) === 0) continue;
    const below = lstat(child);
    if (below !== undefined && below.uid !== 0) checkOwn(child, below);
  }
}

function checkOwn(path: string, facts: Stats): void {
  if (facts.isSymbolicLink()) throw insecure(path, "link", "it is a symbolic link");
  if (!facts.isDirectory()) throw insecure(path, "kind", "it is not a directory");
  const uid = process.geteuid?.();
  if (facts.uid !== uid) throw insecure(path, "owner", `it belongs to uid ${facts.uid}, expected ${uid}`);
}

function createMissing(path: string): void {
  if (lstat(path) !== undefined) return;
  createMissing(dirname(path));
  try {
    mkdirSync(path, { mode: PRIVATE_MODE });
  } catch (error) {
    // Somebody was faster; what they made is verified like any other.
    if (errnoOf(error) !== "EEXIST") throw fromNodeError(error, path);
  }
}

function lstat(path: string): Stats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false });
  } catch (error) {
    if (errnoOf(error) === "ENOTDIR") throw insecure(path, "kind", "a parent of it is not a directory");
    throw fromNodeError(error, path);
  }
}

function insecure(path: string, check: "owner" | "mode" | "link" | "kind", why: string): BrokerError {
  return new BrokerError("DIRECTORY_INSECURE", `directory ${path} cannot be trusted: ${why}`, {
    details: { path, check },
  });
}
