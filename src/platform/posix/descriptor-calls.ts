/**
 * fchmod(2) and fsync(2) of the C library. Node turns its own off under its permission model (`--permission`), whatever is
 * allowed.
 */
import { ioFailed } from "../errno.ts";
import { lastErrno, fchmod as rawFchmod, fsync as rawFsync } from "./libc.ts";

/** @param path for the error only. @throws BrokerError IO_FAILED */
export function setMode(fd: number, mode: number, path: string): void {
  if (rawFchmod(fd, mode) !== 0) throw ioFailed("fchmod", lastErrno(), path);
}

/** @param path for the error only. @throws BrokerError IO_FAILED */
export function syncFile(fd: number, path: string): void {
  if (rawFsync(fd) !== 0) throw ioFailed("fsync", lastErrno(), path);
}
