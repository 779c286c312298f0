/**
 * Files that only we may use. They are created with the mode that they are to have. The umask may take bits of it away, and
 * the umask is the caller's: where it did, the mode is set again on what was created, and only on that.
 */
import { constants, fstatSync, lstatSync, openSync, unlinkSync } from "node:fs";
import { runAll } from "../../../base/disposal-stack.ts";
import { errnoOf } from "../../errno.ts";
import { closeFd } from "../../node/close-fd.ts";
import { setMode } from "../descriptor-calls.ts";
import { PRIVATE_FILE_MODE } from "./own-file.ts";

/** Another process of ours sets the mode right after it has created the file: microseconds, unless it is preempted. */
const SETTLE = { attempts: 50, pauseMs: 1 } as const;
/** A mode that lacks bits and is older than this is not about to be set: nothing waits for it. */
const JUST_CREATED_MS = 1000;

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
    if ((fstatSync(fd).mode & 0o777) !== PRIVATE_FILE_MODE) setMode(fd, PRIVATE_FILE_MODE, path);
    return fd;
  } catch (error) {
    // Ours, and of no use: O_EXCL.
    runAll([() => unlinkSync(path), () => closeFd(fd)]);
    throw error;
  }
}

/**
 * Blocks for at most 50 ms while something of ours lacks `bits` of its owner's permissions, as it does for a moment when
 * it is created under an odd umask. Does not block for what has been so for a second. Returns whether it waited and they
 * are there now.
 */
export function awaitOwnerBits(path: string, bits: number): boolean {
  const clock = new Int32Array(new SharedArrayBuffer(4));
  for (let attempt = 0; attempt < SETTLE.attempts; attempt++) {
    const facts = lstatSync(path, { throwIfNoEntry: false });
    if (facts === undefined || facts.uid !== process.geteuid?.()) return false;
    if ((facts.mode & bits) === bits) return attempt > 0;
    // In either direction: a clock that was set back must not make old files look new.
    if (Math.abs(Date.now() - facts.ctimeMs) > JUST_CREATED_MS) return false;
    Atomics.wait(clock, 0, 0, SETTLE.pauseMs);
  }
  return false;
}
