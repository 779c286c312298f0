/**
 * flock(2) on a file of its own. Two facts shape the code: the lock belongs to the open file, so it vanishes with the
 * process whatever happens; and it says nothing about the path, so after locking the path must still lead to the locked
 * file. That check is what makes it safe to remove the file on release.
 */
import { constants, fstatSync, ftruncateSync, unlinkSync, writeSync } from "node:fs";
import type { Deadline } from "../../../base/clock.ts";
import { sleep } from "../../../base/clock.ts";
import { acquire, runAll } from "../../../base/disposal-stack.ts";
import { BrokerError } from "../../../base/errors.ts";
import { attempt, errnoOf, ioFailed } from "../../errno.ts";
import { closeFd } from "../../node/close-fd.ts";
import { isAt } from "../../node/file-at.ts";
import type { FileLock, Locks, Received } from "../../ports/index.ts";
import { fdOf, lend } from "../descriptors.ts";
import { flock, LOCK_EX, LOCK_NB, lastErrno } from "../libc.ts";
import { checkOwn, checkOwnPath, insecure } from "./own-file.ts";
import { openPrivateFile } from "./private-file.ts";

const RETRY_MS = { first: 2, most: 50 };

export const fileLocks: Locks = { tryAcquire, adopt, acquire: waitFor };

function tryAcquire(path: string): FileLock | undefined {
  for (;;) {
    const lock = acquire((held) => {
      const fd = openLockFile(path);
      held.defer(() => closeFd(fd));
      if (flock(fd, LOCK_EX | LOCK_NB) !== 0) {
        const errno = lastErrno();
        if (errno !== "EAGAIN") throw ioFailed("flock", errno, path);
        closeFd(fd);
        return "taken";
      }
      if (isCurrent(fd, path)) return createLock(fd, path);
      // Its holder removed it between our open and our lock: what we hold is a file that no other process can find.
      closeFd(fd);
      return "gone";
    });
    if (lock !== "gone") return lock === "taken" ? undefined : lock;
  }
}

function adopt(received: Received, path: string): FileLock {
  const fd = fdOf(received);
  return acquire((held) => {
    held.defer(() => closeFd(fd));
    attempt(path, () => checkOwn(fstatSync(fd, { bigint: true }), path));
    if (!isCurrent(fd, path)) throw insecure(path, "what was given is another file");
    // Succeeds at once for a duplicate of the descriptor that has it.
    if (flock(fd, LOCK_EX | LOCK_NB) !== 0) throw insecure(path, `it cannot be locked: ${lastErrno()}`);
    return createLock(fd, path);
  });
}

async function waitFor(path: string, deadline: Deadline): Promise<FileLock> {
  for (let wait = RETRY_MS.first; ; wait = Math.min(wait * 2, RETRY_MS.most)) {
    const lock = tryAcquire(path);
    if (lock !== undefined) return lock;
    if (deadline.passed())
      throw new BrokerError("DEADLINE_EXCEEDED", `the deadline passed while waiting for the lock ${path}`, {
        details: { path },
      });
    await sleep(deadline.clock, Math.min(wait, deadline.remainingMs()));
  }
}

function openLockFile(path: string): number {
  return acquire((held) => {
    const fd = openNoLink(path);
    held.defer(() => closeFd(fd));
    attempt(path, () => checkOwn(fstatSync(fd, { bigint: true }), path));
    return fd;
  });
}

function openNoLink(path: string): number {
  return attempt(path, () => {
    try {
      return openPrivateFile(path, constants.O_RDWR);
    } catch (error) {
      if (errnoOf(error) === "ELOOP") checkOwnPath(path);
      throw error;
    }
  });
}

/** @throws BrokerError IO_FAILED */
function isCurrent(fd: number, path: string): boolean {
  return attempt(path, () => isAt(path, fd));
}

function createLock(fd: number, path: string): FileLock {
  let held = true;
  return {
    path,
    transferable: lend(fd),
    isCurrent: () => held && isCurrent(fd, path),
    describe: (text) => describe(fd, text),
    release() {
      if (!held) return;
      held = false;
      // The lock belongs to the open file: where its name cannot be removed, the next one takes it over.
      runAll([() => isCurrent(fd, path) && unlinkSync(path), () => closeFd(fd)]);
    },
    abandon() {
      if (!held) return;
      held = false;
      closeFd(fd);
    },
  };
}

/** The bytes come first: they fit into what an earlier text has taken, also on a full disk. */
function describe(fd: number, text: string): void {
  const bytes = Buffer.from(text);
  const written = runAll([() => ftruncateSync(fd, writeSync(fd, bytes, 0, bytes.length, 0))]);
  // Better none than that of another process.
  if (written !== undefined) runAll([() => ftruncateSync(fd, 0)]);
}
