/**
 * Files that only we may use. The umask takes bits away from what open(2) and mkdir(2) are asked for, and it is the
 * caller's: a mode is therefore set on what was created, and only on that.
 */
import { constants, fchmodSync, lstatSync, openSync, unlinkSync } from "node:fs";
import { runAll } from "../../base/disposal-stack.ts";
import { errnoOf } from "../errno.ts";
import { closeFd } from "./close-fd.ts";
import { PRIVATE_FILE_MODE } from "./own-file.ts";

/** Another process of ours sets the mode right after it has created the file: microseconds, unless it is preempted. */
const SETTLE = { attempts: 50, pauseMs: 1 } as const;

/**
 * Opens `path` with `flags`; creates it with mode 0600, whatever the umask, when nothing is there. Never follows a link
 * at its end. The caller owns the descriptor, which is close-on-exec.
 *
 * @throws as node:fs does
 */
export function openPrivateFile(path: string, flags: number): number {
  for (;;) {
    try {
      return openSync(path, flags | constants.O_NOFOLLOW);
    } catch (error) {
      const errno = errnoOf(error);
      if (errno === "EACCES" && awaitOwnerBits(path, PRIVATE_FILE_MODE)) continue;
      if (errno !== "ENOENT") throw error;
    }
    try {
      return createPrivateFile(path, flags);
    } catch (error) {
      if (errnoOf(error) !== "EEXIST") throw error;
    }
  }
}

/** Creates `path`, which must not exist, with mode 0600 whatever the umask. @throws as node:fs does, EEXIST among others */
export function createPrivateFile(path: string, flags: number): number {
  const fd = openSync(path, flags | constants.O_CREAT | constants.O_EXCL, PRIVATE_FILE_MODE);
  try {
    fchmodSync(fd, PRIVATE_FILE_MODE);
    return fd;
  } catch (error) {
    // Ours, and of no use: O_EXCL.
    runAll([() => unlinkSync(path), () => closeFd(fd)]);
    throw error;
  }
}

/**
 * Blocks for at most 50 ms while something of ours lacks `bits` of its owner's permissions, as it does for a moment when
 * it is created under an odd umask. Returns whether it waited and they are there now.
 */
export function awaitOwnerBits(path: string, bits: number): boolean {
  const clock = new Int32Array(new SharedArrayBuffer(4));
  for (let attempt = 0; attempt < SETTLE.attempts; attempt++) {
    const facts = lstatSync(path, { throwIfNoEntry: false });
    if (facts === undefined || facts.uid !== process.geteuid?.()) return false;
    if ((facts.mode & bits) === bits) return attempt > 0;
    Atomics.wait(clock, 0, 0, SETTLE.pauseMs);
  }
  return false;
}
