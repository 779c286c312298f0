/** errno to coded error: the one place where a failed system call gets its words. */
import { BrokerError } from "../base/errors.ts";

/** @param errno symbolic name, such as `ECONNREFUSED` */
export function ioFailed(syscall: string, errno: string, path?: string): BrokerError {
  const where = path === undefined ? "" : ` ${path}`;
  return new BrokerError("IO_FAILED", `${syscall}${where} failed: ${errno}`, {
    details: { syscall, errno, ...(path !== undefined && { path }) },
  });
}

/** For errors thrown by node:fs and friends; anything without an errno is passed on. */
export function fromNodeError(error: unknown, path?: string): unknown {
  const { code, syscall, path: failed } = error as NodeJS.ErrnoException;
  if (typeof code !== "string" || !/^E[A-Z0-9]+$/.test(code)) return error;
  const at = path ?? failed;
  return new BrokerError(
    "IO_FAILED",
    `${syscall ?? "system call"}${at === undefined ? "" : ` ${at}`} failed: ${code}`,
    {
      details: { errno: code, ...(syscall !== undefined && { syscall }), ...(at !== undefined && { path: at }) },
      cause: error,
    },
  );
}

export function errnoOf(error: unknown): string | undefined {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  if (typeof code === "string" && code.startsWith("E")) return code;
  return (error as { details?: { errno?: string } } | undefined)?.details?.errno;
}
