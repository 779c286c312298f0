/**
 * Where things are: sockets, service definitions, manifests, logs (spec: names §3, §5, §6). Pure functions of the
 * operating system's name, the environment and the user; nothing is looked up or created here.
 *
 * An environment variable that is set but empty counts as unset (the reference uses the empty text and ends up with
 * a relative path).
 */
import { win32 } from "node:path";
import { blake3 } from "@noble/hashes/blake3.js";
import { BrokerError } from "../base/errors.ts";

export interface PlaceInputs {
  readonly os: "linux" | "darwin" | "win32";
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Numeric user id; ignored on Windows. */
  readonly uid: number;
  /** Home directory as the environment or the system knows it; empty when neither does. */
  readonly home: string;
}

/** sun_path of the platform, its terminating NUL byte not counted. */
const SOCKET_PATH_LIMIT = { linux: 107, darwin: 103, win32: 260 } as const;
const LIMIT_LABEL = { linux: "Linux sun_path", darwin: "macOS sun_path", win32: "Windows MAX_PATH" } as const;

/** Directory of broker and backend sockets; undefined on Windows, where pipes have none. */
export function runtimeDirectory(at: PlaceInputs): string | undefined {
  switch (at.os) {
    case "linux": {
      const base = set(at.env.XDG_RUNTIME_DIR);
      return base === undefined ? `/tmp/running-process-${at.uid}/broker` : below(base, "running-process", "broker");
    }
    case "darwin":
      return below(set(at.env.TMPDIR) ?? "/tmp", `.rp-${at.uid}`);
    case "win32":
      return undefined;
  }
}

/**
 * Full address of a bare name.
 *
 * @throws BrokerError PATH_TOO_LONG
 */
export function endpointPath(at: PlaceInputs, bareName: string): string {
  const directory = runtimeDirectory(at);
  if (directory === undefined) return checkEndpointLength(at.os, `\\\\.\\pipe\\${bareName}`);
  // macOS has too little room for real names, so the leaf there is their hash.
  const leaf = at.os === "darwin" ? hash16(bareName) : bareName;
  return checkEndpointLength(at.os, below(directory, `${leaf}.sock`));
}

/** Returns `path` when it fits the address structure of `os`. @throws BrokerError PATH_TOO_LONG */
export function checkEndpointLength(os: PlaceInputs["os"], path: string): string {
  const bytes = Buffer.byteLength(path);
  if (bytes <= SOCKET_PATH_LIMIT[os]) return path;
  throw new BrokerError(
    "PATH_TOO_LONG",
    `socket path has ${bytes} bytes, ${LIMIT_LABEL[os]} holds ${SOCKET_PATH_LIMIT[os]}: ${path}`,
    { details: { path } },
  );
}

/** Directory of `.servicedef` files and where that choice came from. */
export function definitionDirectory(at: PlaceInputs): {
  path: string;
  source: "env:RUNNING_PROCESS_SERVICE_DEF_DIR" | "platform-default";
} {
  const override = set(at.env.RUNNING_PROCESS_SERVICE_DEF_DIR);
  if (override !== undefined) return { path: override, source: "env:RUNNING_PROCESS_SERVICE_DEF_DIR" };
  return { path: under(at, "config", "services"), source: "platform-default" };
}

/** Directory of cache manifests. */
export function manifestDirectory(at: PlaceInputs): string {
  return set(at.env.RUNNING_PROCESS_MANIFEST_DIR) ?? under(at, "data", "manifests");
}

/**
 * Directory of broker and backend logs (ours; the reference keeps none). Logs of a user without a home directory are
 * beside the sockets: they can be lost with a reboot, and a backend is launched all the same.
 */
export function logDirectory(at: PlaceInputs): string {
  const given = set(at.env.RUNNING_PROCESS_BROKER_LOG_DIR);
  if (given !== undefined) return given;
  const homeless = at.os === "linux" && at.home === "" && set(at.env.XDG_STATE_HOME) === undefined;
  if (!homeless) return under(at, "state", "logs");
  const base = set(at.env.XDG_RUNTIME_DIR);
  return base === undefined ? `/tmp/running-process-${at.uid}/logs` : below(base, "running-process", "logs");
}

/** First 8 bytes of BLAKE3 as 16 lower-case hex digits. */
export function hash16(text: string): string {
  return Buffer.from(blake3(Buffer.from(text), { dkLen: 8 })).toString("hex");
}

function under(at: PlaceInputs, kind: "config" | "data" | "state", leaf: string): string {
  switch (at.os) {
    case "linux": {
      const variable = { config: "XDG_CONFIG_HOME", data: "XDG_DATA_HOME", state: "XDG_STATE_HOME" }[kind];
      const fallback = { config: ".config", data: ".local/share", state: ".local/state" }[kind];
      return below(set(at.env[variable]) ?? below(homeOf(at), fallback), "running-process", leaf);
    }
    case "darwin":
      return below(homeOf(at), "Library", "Application Support", "running-process", leaf);
    case "win32": {
      const base = kind === "state" ? set(at.env.LOCALAPPDATA) : set(at.env.APPDATA);
      return win32.join(base ?? "C:\\ProgramData", "running-process", leaf);
    }
  }
}

/**
 * `base` stays as it was given: client and broker must spell an address alike, and taking ".." out of a path changes
 * its meaning where links are involved.
 */
function below(base: string, ...names: readonly string[]): string {
  return (base.endsWith("/") ? base : `${base}/`) + names.join("/");
}

/** @throws BrokerError HOME_UNKNOWN */
function homeOf({ home, uid }: PlaceInputs): string {
  if (home.startsWith("/")) return home;
  const why =
    home === ""
      ? `HOME is not set and the system has no account of uid ${uid}`
      : `HOME is ${JSON.stringify(home)}, which is no absolute path`;
  throw new BrokerError(
    "HOME_UNKNOWN",
    `the home directory is not known: ${why}; set HOME, or the variables of the directory itself: RUNNING_PROCESS_SERVICE_DEF_DIR for definitions, RUNNING_PROCESS_BROKER_LOG_DIR for logs`,
    { details: { check: "HOME" } },
  );
}

function set(value: string | undefined): string | undefined {
  return value === undefined || value === "" ? undefined : value;
}
