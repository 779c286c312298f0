/** What must be true of a file before it is used: a regular file, no link, ours. */
import { type BigIntStats, fstatSync, lstatSync, unlinkSync } from "node:fs";
import { BrokerError } from "../../../base/errors.ts";
import { setMode } from "../descriptor-calls.ts";

export const PRIVATE_FILE_MODE = 0o600;

/**
 * The open file is a regular one of ours and private, whatever the umask was when it was made.
 *
 * @throws BrokerError FILE_INSECURE; a system error
 */
export function checkOwnFile(fd: number, path: string): void {
  const stats = fstatSync(fd, { bigint: true });
  checkOwn(stats, path);
  if ((stats.mode & 0o777n) !== BigInt(PRIVATE_FILE_MODE)) setMode(fd, PRIVATE_FILE_MODE, path);
}

/** The same of what is at a path, before it is opened; nothing there is fine. @throws BrokerError FILE_INSECURE; a system error */
export function checkOwnPath(path: string): void {
  const stats = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  if (stats !== undefined) checkOwn(stats, path);
}

/** Removes a regular file of ours, as far as it can; anything else stays. */
export function removeFileAt(path: string): void {
  try {
    checkOwnPath(path);
    unlinkSync(path);
  } catch {
    // What is in the way of a log is in the way of its older file, too.
  }
}

/**
 * A regular file of ours; with `orRoots`, for reading, one of root's is as good.
 *
 * @throws BrokerError FILE_INSECURE
 */
export function checkOwn(stats: BigIntStats, path: string, { orRoots = false }: { orRoots?: boolean } = {}): void {
  if (!stats.isFile())
    throw insecure(path, `it is ${kindOf(stats)}, a regular file is expected; remove it or move it away`);
  const uid = Number(stats.uid);
  if (uid === process.geteuid?.() || (orRoots && uid === 0)) return;
  throw insecure(path, `it belongs to uid ${uid}; remove it or move it away`);
}

function kindOf(stats: BigIntStats): string {
  if (stats.isDirectory()) return "a directory";
  if (stats.isSymbolicLink()) return "a symbolic link";
  if (stats.isFIFO()) return "a FIFO";
  return stats.isSocket() ? "a socket" : "a device";
}

export function insecure(path: string, why: string): BrokerError {
  return new BrokerError("FILE_INSECURE", `file ${path} cannot be trusted: ${why}`, { details: { path } });
}
