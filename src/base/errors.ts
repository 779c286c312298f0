/**
 * Every failure that leaves this package has a code from one closed table. A code fixes three things: the number it
 * has on the wire (when a broker can send it), the exit status of the command line, and whether trying again can
 * help. Texts are for people and may change; programs match codes.
 *
 * Expected outcomes ("no such file", "would block") are return values of the function that meets them. BrokerError is
 * for faults that travel to a boundary: a request handler, a public function, the command line. A broken invariant of
 * our own is a plain Error and never carries a code.
 */

/** `never`: the same call fails again. `later`: after `retryAfterMs`. `now`: at once, on a new connection. */
export type Retry = "never" | "later" | "now";

/** Who can mend it: the user or caller, the author of the backend, the operator of the machine, or this project. */
export type Fixer = "caller" | "backend author" | "operator" | "us";

export interface ErrorRow {
  /** `ErrorCode` number of a Refused reply; absent for codes that never travel. */
  readonly wire?: number;
  /** Exit status of `rpb` (docs/errors.md lists them); the compat binary has its own, frozen rules. */
  readonly exit: number;
  readonly retry: Retry;
  readonly fix: Fixer;
  /** One sentence for docs/errors.md. */
  readonly about: string;
}

/**
 * Append only: a code is never renamed, renumbered or given another meaning. Exit statuses follow sysexits.h where it
 * has a fitting one (69 unavailable, 70 internal, 73 cannot create, 74 I/O, 75 try again, 76 protocol, 77 permission,
 * 78 configuration); 2 is a usage error and 124 a deadline, as in timeout(1).
 */
export const ERROR_TABLE = {
  // What a broker refuses with (spec: wire, "ErrorCode").
  REFUSED_UNSPECIFIED: {
    wire: 0,
    exit: 70,
    retry: "never",
    fix: "us",
    about: "The broker refused without a known code.",
  },
  VERSION_UNSUPPORTED: {
    wire: 1,
    exit: 76,
    retry: "never",
    fix: "caller",
    about:
      "No common protocol version: framing byte, envelope or protocol range differ; or a broker of another version or make does not know an admin request.",
  },
  SERVICE_UNKNOWN: {
    wire: 2,
    exit: 78,
    retry: "never",
    fix: "caller",
    about: "No loadable service definition has this name, or another broker instance serves it.",
  },
  BACKEND_SPAWN_FAILED: {
    wire: 3,
    exit: 69,
    retry: "later",
    fix: "backend author",
    about:
      "The backend could not be launched, or could not prove in time to be the intended binary; the reason and the last lines of its log come along.",
  },
  RATE_LIMITED: {
    wire: 4,
    exit: 75,
    retry: "later",
    fix: "caller",
    about: "Too many Hellos from one process, or the launch budget of this backend is used up.",
  },
  SHUTTING_DOWN: {
    wire: 5,
    exit: 75,
    retry: "now",
    fix: "operator",
    about: "The broker is ending; the next one answers.",
  },
  PEER_REJECTED: {
    wire: 6,
    exit: 76,
    retry: "never",
    fix: "caller",
    about: "The request was malformed, or contradicts what the kernel says about the caller.",
  },
  INTERNAL: { wire: 7, exit: 70, retry: "later", fix: "us", about: "The broker could not finish a valid request." },
  VERSION_BLOCKED: {
    wire: 8,
    exit: 78,
    retry: "later",
    fix: "operator",
    about: "The definition's version floor or allow-list excludes the wanted version.",
  },
  FD_PRESSURE: {
    wire: 9,
    exit: 75,
    retry: "later",
    fix: "operator",
    about: "The broker ran out of file descriptors and recovers by itself.",
  },

  // Bytes that are not what the protocol says.
  FRAMING_VERSION_UNSUPPORTED: {
    exit: 76,
    retry: "never",
    fix: "caller",
    about: "The first byte of a frame is not 1.",
  },
  FRAME_TOO_LARGE: { exit: 76, retry: "never", fix: "caller", about: "A frame's declared length is above the limit." },
  FRAME_TRUNCATED: { exit: 76, retry: "now", fix: "caller", about: "The stream ended inside a frame." },
  MESSAGE_MALFORMED: {
    exit: 76,
    retry: "never",
    fix: "caller",
    about: "Bytes are not the protobuf message they should be.",
  },
  FRAME_UNEXPECTED: {
    exit: 76,
    retry: "never",
    fix: "caller",
    about: "A well-formed frame of the wrong kind, protocol, encoding or request id.",
  },
  PAYLOAD_PROTOCOL_INVALID: {
    exit: 78,
    retry: "never",
    fix: "caller",
    about: "A payload-protocol number is outside the range for consumers, or taken.",
  },

  // Names, versions, addresses.
  NAME_INVALID: {
    exit: 78,
    retry: "never",
    fix: "caller",
    about: "A service or instance name is not 1 to 64 of a-z, 0-9 and '-'.",
  },
  VERSION_INVALID: {
    exit: 78,
    retry: "never",
    fix: "caller",
    about: "A version is not MAJOR.MINOR.PATCH with an optional -prerelease of a-z, 0-9 and '.'.",
  },
  PATH_TOO_LONG: {
    exit: 78,
    retry: "never",
    fix: "operator",
    about: "A socket path does not fit into the kernel's address structure; Node would cut it silently.",
  },
  ENDPOINT_INVALID: {
    exit: 78,
    retry: "never",
    fix: "caller",
    about: "An endpoint address is empty or cannot be used on this system.",
  },
  OPTION_INVALID: {
    exit: 2,
    retry: "never",
    fix: "caller",
    about: "An option or argument has a value that cannot be used.",
  },

  // Service definitions.
  DEFINITION_NOT_FOUND: {
    exit: 78,
    retry: "never",
    fix: "caller",
    about: "There is no definition file for this service.",
  },
  DEFINITION_MALFORMED: {
    exit: 78,
    retry: "never",
    fix: "operator",
    about: "A definition file is not a ServiceDefinition, is torn, or is larger than the limit.",
  },
  DEFINITION_INVALID: {
    exit: 78,
    retry: "never",
    fix: "operator",
    about: "A definition breaks a rule: the message names the field, what it holds and what it may hold.",
  },

  // Files and directories.
  DIRECTORY_INSECURE: {
    exit: 77,
    retry: "never",
    fix: "operator",
    about: "A directory that must be private belongs to somebody else, is a link, or is open to others.",
  },
  FILE_INSECURE: {
    exit: 77,
    retry: "never",
    fix: "operator",
    about: "A file that must be private belongs to somebody else or is not a regular file.",
  },
  IO_FAILED: {
    exit: 74,
    retry: "never",
    fix: "operator",
    about: "A system call on a file or socket failed; syscall and errno are in the details.",
  },

  // Processes and the broker's own life.
  BROKER_ALREADY_RUNNING: {
    exit: 75,
    retry: "never",
    fix: "caller",
    about: "Another live broker holds this endpoint.",
  },
  PRIVILEGED_START: {
    exit: 77,
    retry: "never",
    fix: "operator",
    about: "The broker refuses to run as root; RUNNING_PROCESS_BROKER_ALLOW_PRIVILEGED=1 overrides.",
  },
  PLATFORM_UNSUPPORTED: {
    exit: 69,
    retry: "never",
    fix: "us",
    about:
      "This operating system is not supported by this release, or lacks what it needs: the native part of this package, /proc for what starts a broker, a Node to run it with.",
  },
  SPAWN_FAILED: {
    exit: 69,
    retry: "later",
    fix: "operator",
    about: "The operating system refused to start a program.",
  },
  PROCESS_EXITED: {
    exit: 69,
    retry: "later",
    fix: "backend author",
    about: "A process ended while it was being waited for.",
  },
  IDENTITY_MISMATCH: {
    exit: 69,
    retry: "never",
    fix: "operator",
    about: "A process is not the one it should be: the message names the field that differs.",
  },
  IDENTITY_MALFORMED: {
    exit: 76,
    retry: "never",
    fix: "backend author",
    about: "An identity record lacks its endpoint or has hashes of a wrong length.",
  },
  PEER_UNVERIFIED: {
    exit: 77,
    retry: "never",
    fix: "operator",
    about: "The other end of a local socket does not belong to the current user.",
  },
  LAUNCHED_WITHOUT_ENDPOINT: {
    exit: 78,
    retry: "never",
    fix: "backend author",
    about: "A backend was started without the broker's environment and was given no endpoint of its own.",
  },
  LISTENER_INVALID: {
    exit: 69,
    retry: "never",
    fix: "operator",
    about: "The descriptor passed as listener is not a listening stream socket.",
  },

  // The client.
  BROKER_UNAVAILABLE: {
    exit: 69,
    retry: "later",
    fix: "operator",
    about: "No broker listens, and none may be started.",
  },
  BROKER_START_FAILED: {
    exit: 69,
    retry: "later",
    fix: "operator",
    about: "A broker was started but did not begin to accept; its last words come along.",
  },
  BROKER_DISABLED: {
    exit: 69,
    retry: "never",
    fix: "caller",
    about: "RUNNING_PROCESS_DISABLE=1: use the path without a broker.",
  },
  DISABLE_ENV_INVALID: {
    exit: 2,
    retry: "never",
    fix: "caller",
    about: "RUNNING_PROCESS_DISABLE is set to something other than 1.",
  },
  BACKEND_UNREACHABLE: {
    exit: 69,
    retry: "now",
    fix: "backend author",
    about: "The backend's endpoint does not accept connections.",
  },
  DEADLINE_EXCEEDED: { exit: 124, retry: "later", fix: "caller", about: "The caller's time was up." },
  ABORTED: { exit: 130, retry: "now", fix: "caller", about: "The caller's AbortSignal fired." },
  CONNECTION_CLOSED: {
    exit: 69,
    retry: "now",
    fix: "backend author",
    about: "The other end closed the connection before it answered.",
  },
  TOO_MANY_REQUESTS: {
    exit: 75,
    retry: "later",
    fix: "caller",
    about: "More requests in flight on one session than the limit.",
  },
  ENDPOINT_IN_USE: {
    exit: 75,
    retry: "never",
    fix: "operator",
    about: "Another live process serves the endpoint a backend was to bind, or holds its lock file.",
  },
  HOME_UNKNOWN: {
    exit: 78,
    retry: "never",
    fix: "operator",
    about:
      "A directory below the user's home is needed, and HOME is unset or relative and the system has no account of this user.",
  },
  RESTART_FAILED: {
    exit: 70,
    retry: "later",
    fix: "operator",
    about: "No new process could take a broker's place; the running one goes on serving.",
  },
} as const satisfies Record<string, ErrorRow>;

export type BrokerErrorCode = keyof typeof ERROR_TABLE;

/** Facts that belong to an error; what is not listed here travels as plain text in the message. */
export interface ErrorDetails {
  /** Milliseconds until a new try makes sense; only with `retry: "later"`. */
  readonly retryAfterMs?: number;
  /** Last lines of the log of a backend or broker that failed to start. */
  readonly logTail?: string;
  /** File that holds the whole log. */
  readonly logPath?: string;
  readonly path?: string;
  readonly syscall?: string;
  /** Symbolic errno, such as `ECONNREFUSED`. */
  readonly errno?: string;
  readonly pid?: number;
  /** Numeric user id that a refused file or directory belongs to. */
  readonly owner?: number;
  /** Exit status or signal name of a process that ended. */
  readonly exit?: string;
  /** Which check or field failed, as a stable word. */
  readonly check?: string;
}

const BRAND = Symbol.for("running-process-broker.error");

/** The one error class of the package. `code` is stable, `message` is `[CODE] what happened` for people. */
export class BrokerError extends Error {
  readonly code: BrokerErrorCode;
  readonly details: ErrorDetails;

  constructor(code: BrokerErrorCode, what: string, options: { details?: ErrorDetails; cause?: unknown } = {}) {
    super(`[${code}] ${what}`, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "BrokerError";
    this.code = code;
    this.details = options.details ?? {};
    Object.defineProperty(this, BRAND, { value: true });
  }

  /** The message without its code, for texts that already name it. */
  get reason(): string {
    return this.message.slice(this.code.length + 3);
  }
}

/** Works across copies of the package, unlike instanceof. */
export function isBrokerError(value: unknown): value is BrokerError {
  return typeof value === "object" && value !== null && (value as Record<symbol, unknown>)[BRAND] === true;
}

export function hasCode<C extends BrokerErrorCode>(value: unknown, ...codes: C[]): value is BrokerError & { code: C } {
  return isBrokerError(value) && (codes as BrokerErrorCode[]).includes(value.code);
}

/** Code of a refusal by its wire number; unknown numbers are REFUSED_UNSPECIFIED. */
export function codeOfWire(wire: number): BrokerErrorCode {
  for (const [code, row] of Object.entries(ERROR_TABLE) as [BrokerErrorCode, ErrorRow][]) {
    if (row.wire === wire) return code;
  }
  return "REFUSED_UNSPECIFIED";
}

/** What a system call says of a file system that takes nothing more, and will say again. */
export const STORAGE_ERRNO: readonly string[] = ["ENOSPC", "EDQUOT", "EROFS", "EFBIG", "EIO"];
/** And of a file that is missing or wrong. */
const PERMANENT_ERRNO = [
  ...STORAGE_ERRNO,
  ...["E2BIG", "EACCES", "ELOOP", "ENAMETOOLONG", "ENOENT", "ENOEXEC", "ENOTDIR", "EPERM"],
];

/** Would the same attempt fail again until a person has changed something? */
export function isPermanent({ code, details }: { readonly code: string; readonly details: ErrorDetails }): boolean {
  const row: ErrorRow | undefined = Object.hasOwn(ERROR_TABLE, code) ? ERROR_TABLE[code as BrokerErrorCode] : undefined;
  // What a failed system call means depends on what it said: descriptors that have run out come back.
  const never = row?.retry === "never" && (code !== "IO_FAILED" || details.errno === undefined);
  return never || PERMANENT_ERRNO.includes(details.errno ?? "");
}

/** The text of any thrown value, without the code prefix of our own errors. */
export function reasonOf(error: unknown): string {
  if (isBrokerError(error)) return error.reason;
  return error instanceof Error ? error.message : String(error);
}
