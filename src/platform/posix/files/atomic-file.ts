/** Files that are there as a whole or not at all, and what a writer that was killed in the middle leaves of one. */

import {
  closeSync,
  constants,
  lstatSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { errnoOf, fromNodeError } from "../../errno.ts";
import { syncFile } from "../descriptor-calls.ts";
import { createPrivateFile } from "./private-file.ts";

/** `.NAME.tmp-PID-RANDOM`, as the reference's (spec: names §6), which ends in more digits. */
const TEMPORARY = /^\..+\.tmp-([1-9]\d{0,9})-[0-9a-f]{12}$/;
/** A write takes milliseconds: whoever has the number by then is another process. */
const LONGEST_WRITE_MS = 3_600_000;

export function writeAtomic(path: string, bytes: Uint8Array): void {
  const directory = dirname(path);
  const temporary = join(directory, `.${basename(path)}.tmp-${process.pid}-${randomName()}`);
  try {
    writeAndRename(temporary, path, bytes);
    syncDirectory(directory);
  } catch (error) {
    throw fromNodeError(error, path);
  }
}

/** Twelve hexadecimal digits that two writes of one process do not share; what tells apart, not what protects: see O_EXCL. */
function randomName(): string {
  return Math.floor(Math.random() * 2 ** 48)
    .toString(16)
    .padStart(12, "0");
}

function writeAndRename(temporary: string, path: string, bytes: Uint8Array): void {
  const fd = createPrivateFile(temporary, constants.O_WRONLY);
  try {
    try {
      for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done);
      syncFile(fd, path);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

/** Makes the rename itself survive a power failure (fsync(2), "Notes"). */
function syncDirectory(directory: string): void {
  const fd = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    syncFile(fd, directory);
  } finally {
    closeSync(fd);
  }
}

export function sweepTemporaries(directory: string): number {
  let swept = 0;
  for (const name of namesIn(directory)) {
    const writer = Number(TEMPORARY.exec(name)?.[1]);
    if (Number.isNaN(writer)) continue;
    const path = join(directory, name);
    try {
      const facts = lstatSync(path);
      if (!facts.isFile() || facts.uid !== process.geteuid?.()) continue;
      if (mayBeWriting(writer, Date.now() - facts.mtimeMs)) continue;
      unlinkSync(path);
      swept++;
    } catch {
      // Somebody else swept it, or may; it is tried again next time.
    }
  }
  return swept;
}

/** None of a directory that cannot be read: whoever writes there is not to fail for what others left. */
function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function mayBeWriting(pid: number, ageMs: number): boolean {
  if (ageMs >= LONGEST_WRITE_MS) return false;
  // Older than this process: of an earlier owner of the number. Another thread of ours may be writing a younger one.
  if (pid === process.pid) return ageMs <= process.uptime() * 1000;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errnoOf(error) !== "ESRCH";
  }
}
