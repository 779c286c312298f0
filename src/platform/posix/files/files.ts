/** Files as the rest of the package sees them. Everything small is synchronous: these are local metadata operations. */

import {
  accessSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readSync,
  realpathSync,
  renameSync,
  rmdirSync,
  symlinkSync,
  unlinkSync,
} from "node:fs";
import { posix } from "node:path";
import { type FileStamp, stampOf } from "../../../model/file-identity.ts";
import { attempt, errnoOf, fromNodeError, ioFailed } from "../../errno.ts";
import { closeFd } from "../../node/close-fd.ts";
import { createExecutableHasher } from "../../node/hash-executable.ts";
import { watchPath } from "../../node/watch-path.ts";
import type { ChangeCounter, FileFacts, Files } from "../../ports/index.ts";
import { sweepTemporaries, writeAtomic } from "./atomic-file.ts";
import type { CollapseHead } from "./collapse-log.ts";
import { createLogOpener } from "./log-file.ts";
import { factsOf, openFile } from "./open-file.ts";
import { checkOwn } from "./own-file.ts";
import { createPrivateDirectories } from "./private-directory.ts";

/** The kernel reads this much to find an interpreter (execve(2), BINPRM_BUF_SIZE). */
const INTERPRETER_LINE_BYTES = 256;

/** A system's own ways to look at a file, to know that it need not, and to take a file's head away. Default: Node's, none, none. */
export function createFiles({
  facts = nodeFacts,
  changeCounter = countNothing,
  collapseHead,
}: Partial<Pick<Files, "facts" | "changeCounter"> & { collapseHead: CollapseHead }> = {}): Files {
  const hash = createExecutableHasher();
  const directories = createPrivateDirectories({ facts, realpath });
  return {
    paths: posix,
    facts,
    realpath,
    executableFault,
    read,
    list,
    writeAtomic,
    sweepTemporaries,
    remove,
    ensurePrivateDirectory: (path) => directories.ensure(path),
    checkPrivateDirectory: (path) => directories.check(path),
    checkConnectDirectory: (path, options) => directories.checkConnect(path, options),
    symlink,
    removeEmptyDirectory,
    sha256Executable: (path) => hash(path, "sha256"),
    blake3Executable: (path) => hash(path, "blake3"),
    interpreterLine,
    openLog: createLogOpener(collapseHead),
    open: openFile,
    rename: (from, to) => attempt(from, () => renameSync(from, to)),
    watch: watchPath,
    changeCounter,
  };
}

function realpath(path: string): string {
  return attempt(path, () => realpathSync(path));
}

function nodeFacts(path: string): FileFacts | undefined {
  const stats = attempt(path, () => lstatSync(path, { bigint: true, throwIfNoEntry: false }));
  if (stats === undefined) return undefined;
  return factsOf(stats);
}

function executableFault(path: string): string | undefined {
  try {
    accessSync(path, constants.X_OK);
    return undefined;
  } catch (error) {
    return errnoOf(error) ?? "EACCES";
  }
}

function read(path: string, maxBytes: number): { bytes: Buffer; stamp: FileStamp } | undefined {
  let fd: number;
  try {
    // Non-blocking, so that a fifo put in a file's place is refused below instead of waited for.
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw fromNodeError(error, path);
  }
  try {
    const stats = fstatSync(fd, { bigint: true });
    checkOwn(stats, path, { orRoots: true });
    if (stats.size > BigInt(maxBytes)) throw ioFailed("read", "EFBIG", path);
    return { bytes: readUpTo(fd, maxBytes, path), stamp: stampOf(stats) };
  } catch (error) {
    throw fromNodeError(error, path);
  } finally {
    closeFd(fd);
  }
}

/** Reads to the end of the file rather than to the size it had, and still no more than allowed. */
function readUpTo(fd: number, maxBytes: number, path: string): Buffer {
  const chunks: Buffer[] = [];
  let total = 0;
  for (;;) {
    const chunk = Buffer.allocUnsafe(16 * 1024);
    const got = readSync(fd, chunk, 0, chunk.length, null);
    if (got === 0) return Buffer.concat(chunks);
    total += got;
    if (total > maxBytes) throw ioFailed("read", "EFBIG", path);
    chunks.push(chunk.subarray(0, got));
  }
}

function list(directory: string): readonly string[] {
  try {
    return readdirSync(directory).sort();
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw fromNodeError(error, directory);
  }
}

function remove(path: string): boolean {
  try {
    unlinkSync(path);
    return true;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return false;
    throw fromNodeError(error, path);
  }
}

function symlink(target: string, path: string): void {
  try {
    symlinkSync(target, path);
  } catch (error) {
    if (errnoOf(error) !== "EEXIST") throw fromNodeError(error, path);
  }
}

function removeEmptyDirectory(path: string): boolean {
  try {
    rmdirSync(path);
    return true;
  } catch {
    // In use by others of ours, as a rule.
    return false;
  }
}

function interpreterLine(path: string): string | undefined {
  return attempt(path, () => {
    const fd = openSync(path, "r");
    try {
      const head = Buffer.alloc(INTERPRETER_LINE_BYTES);
      const text = head.toString("utf8", 0, readSync(fd, head, 0, head.length, 0));
      if (!text.startsWith("#!")) return undefined;
      return (text.split("\n")[0] as string).slice(2).trim();
    } finally {
      closeFd(fd);
    }
  });
}

/** Of something that cannot be watched nothing is known from one moment to the next. */
function countNothing(): ChangeCounter {
  return { value: () => Number.NaN, close: () => {} };
}
