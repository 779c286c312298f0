/**
 * Errors of the system and of Node in our own words. Platform ports translate what they expect; `brokerErrorFrom` is the net
 * below them, at the edge of each public entry: whatever comes there leaves as a BrokerError.
 */
import { BrokerError, type BrokerErrorCode, type ErrorDetails, isBrokerError, reasonOf } from "./errors.ts";

/** What lacks and how to mend it, where the name alone does not say. */
const EXPLANATIONS: Readonly<Record<string, string>> = {
  EMFILE: "this process has no descriptor left: raise its limit with ulimit -n, or close some",
  ENFILE: "the machine has no descriptor left: raise the sysctl fs.file-max, or end some programs",
  EROFS: "the file system is mounted read-only",
};

/** An errno with its explanation, if it has one. @param errno symbolic name, such as `EMFILE` */
export function errnoText(errno: string): string {
  const explanation = EXPLANATIONS[errno];
  return explanation === undefined ? errno : `${errno} (${explanation})`;
}

/** @param errno symbolic name, such as `ECONNREFUSED` */
export function systemCallFailed(
  { syscall, errno, path }: { syscall: string | undefined; errno: string; path: string | undefined },
  cause?: unknown,
): BrokerError {
  const where = path === undefined ? "" : ` ${path}`;
  return new BrokerError("IO_FAILED", `${syscall ?? "system call"}${where} failed: ${errnoText(errno)}`, {
    details: { errno, ...(syscall !== undefined && { syscall }), ...(path !== undefined && { path }) },
    cause,
  });
}

/** The symbolic errno of an error thrown by a module of Node; undefined for any other value. */
export function nodeErrno(error: unknown): string | undefined {
  const { code, info } = Object(error) as { code?: unknown; info?: { code?: unknown } };
  // node:os puts what failed into `info`.
  const errno = code === "ERR_SYSTEM_ERROR" ? info?.code : code;
  return typeof errno === "string" && /^E[A-Z0-9]+$/.test(errno) ? errno : undefined;
}

/** Which option of Node gives what its permission model has denied, by the name of the permission. */
const PERMISSION_OPTIONS: Readonly<Record<string, string>> = {
  FileSystemRead: "--allow-fs-read",
  FileSystemWrite: "--allow-fs-write",
  ChildProcess: "--allow-child-process",
  WorkerThreads: "--allow-worker",
  WASI: "--allow-wasi",
  Addon: "--allow-addons",
  Net: "--allow-net",
  Inspector: "--allow-inspector",
};

/**
 * What Node's permission model (`--permission`) has denied, with the option that allows it: IO_FAILED for a file, and
 * PLATFORM_UNSUPPORTED for anything else. Undefined for any other value.
 */
export function permissionDenied(error: unknown): BrokerError | undefined {
  const { code, permission, resource } = Object(error) as { code?: unknown; permission?: unknown; resource?: unknown };
  if (code === "ERR_DLOPEN_DISABLED") return denied("PLATFORM_UNSUPPORTED", "native parts", "--allow-addons", error);
  if (code !== "ERR_ACCESS_DENIED") return undefined;
  const path = typeof resource === "string" && resource !== "" ? resource : undefined;
  const option = PERMISSION_OPTIONS[String(permission)] ?? /--allow-[a-z-]+/.exec(reasonOf(error))?.[0];
  // Without a name it is a function that Node turns off altogether, or a connection; the message says which.
  const what = typeof permission === "string" && permission !== "" ? permission : `a call (${reasonOf(error)})`;
  if (!what.startsWith("FileSystem")) return denied("PLATFORM_UNSUPPORTED", what, option, error);
  const where = path === undefined ? "" : ` of ${path}`;
  const details = { errno: "EACCES", ...(path !== undefined && { path }) };
  return denied("IO_FAILED", what + where, `${option}=${path ?? "*"}`, error, details);
}

function denied(
  code: BrokerErrorCode,
  what: string,
  option: string | undefined,
  cause: unknown,
  details: ErrorDetails = {},
): BrokerError {
  const cure = option === undefined ? "start Node without --permission" : `start Node with ${option}`;
  return new BrokerError(code, `Node's permission model (--permission) denies ${what}: ${cure}`, {
    details: { ...details, check: "permission" },
    cause,
  });
}

/** Node's own codes for a program whose files are not all there, or cannot be loaded. */
const NOT_LOADED = new Set([
  "MODULE_NOT_FOUND",
  "ERR_MODULE_NOT_FOUND",
  "ERR_DLOPEN_FAILED",
  "ERR_PACKAGE_PATH_NOT_EXPORTED",
]);

/**
 * Any thrown value as one of ours: IO_FAILED for a failed system call, PLATFORM_UNSUPPORTED for a part of this package that
 * cannot be loaded, either for what Node's permission model denies, INTERNAL for everything else, with what was thrown as
 * its cause.
 */
export function brokerErrorFrom(error: unknown): BrokerError {
  if (isBrokerError(error)) return error;
  const forbidden = permissionDenied(error);
  if (forbidden !== undefined) return forbidden;
  const errno = nodeErrno(error);
  const { syscall, path, code } = Object(error) as { syscall?: unknown; path?: unknown; code?: unknown };
  const text = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined);
  if (errno !== undefined) return systemCallFailed({ errno, syscall: text(syscall), path: text(path) }, error);
  const message = error instanceof Error ? error.message : String(error);
  if (NOT_LOADED.has(String(code)))
    return new BrokerError(
      "PLATFORM_UNSUPPORTED",
      `a part of this package cannot be loaded: ${message} (install it again)`,
      {
        cause: error,
      },
    );
  return new BrokerError("INTERNAL", `this is a fault of running-process-broker, please report it: ${message}`, {
    cause: error,
  });
}

/** Runs a public call; what it throws is one of ours. */
export async function coded<T>(work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw brokerErrorFrom(error);
  }
}

/** The same for a call that returns at once. */
export function codedNow<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw brokerErrorFrom(error);
  }
}
