/** errno to coded error: the one place where a failed system call of a port gets its words. */
import type { BrokerError } from "../base/errors.ts";
import { nodeErrno, permissionDenied, systemCallFailed } from "../base/system-error.ts";

/** @param errno symbolic name, such as `ECONNREFUSED` */
export function ioFailed(syscall: string, errno: string, path?: string): BrokerError {
  return systemCallFailed({ syscall, errno, path });
}

/** For errors thrown by node:fs and friends; anything without an errno, or Node's word on a permission, is passed on. */
export function fromNodeError(error: unknown, path?: string): unknown {
  const errno = nodeErrno(error);
  if (errno === undefined) return permissionDenied(error) ?? error;
  const { syscall, path: failed } = error as NodeJS.ErrnoException;
  return systemCallFailed({ syscall, errno, path: path ?? failed }, error);
}

/** Runs work of node:fs. @throws BrokerError IO_FAILED when a system call in it fails */
export function attempt<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw fromNodeError(error, path);
  }
}

export function errnoOf(error: unknown): string | undefined {
  return nodeErrno(error) ?? (error as { details?: { errno?: string } } | undefined)?.details?.errno;
}
