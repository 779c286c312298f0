/**
 * Where things are: sockets, service definitions, manifests, logs (spec: names §3, §5, §6). Pure functions of the
 * operating system's name, the environment and the user; nothing is looked up or created here.
 *
 * An environment variable that is set but empty counts as unset (the reference uses the empty text and ends up with
 * a relative path).
 *
 * Every socket's address comes from `endpointPath`, in client, broker and command line alike: the reference's address
 * where the kernel's sun_path has room for it, else the first of two shorter ones that fits.
 */
import { win32 } from "node:path";
import { blake3 } from "@noble/hashes/blake3.js";
import { BrokerError } from "../base/errors.ts";
import { givenPath, pathTextFault } from "../base/given-path.ts";

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
/** The variable that says where the user's sockets are. */
const RUNTIME_VARIABLE = { linux: "XDG_RUNTIME_DIR", darwin: "TMPDIR", win32: undefined } as const;
/** The longest leaf that every address can be shortened to: 16 digits and `.sock`. */
const HASHED_LEAF = `${"0".repeat(16)}.sock`;

/**
 * Directory of the sockets of brokers; undefined on Windows, where pipes have none.
 *
 * @throws BrokerError ENDPOINT_INVALID when the variable that names it cannot be used
 */
export function runtimeDirectory(at: PlaceInputs): string | undefined {
  return socketDirectories(at)[0];
}

/**
 * The directories that `endpointPath` chooses from: that of brokers first. Sockets of backends may be in the second one
 * while their broker's is in the first, because an address derived from a backend's has to fit as well.
 *
 * @throws BrokerError ENDPOINT_INVALID
 */
export function socketDirectories(at: PlaceInputs): readonly string[] {
  if (at.os === "win32") return [];
  const base = runtimeBase(at);
  const usual = usualDirectory(at, base);
  if (base === undefined) return [usual];
  // Slashes at the end lead to the same directory; any other spelling counts as another one.
  const fallback = below(ownDirectory(at), hash16(base.replace(/\/+$/, "")));
  return fits(at.os, below(usual, HASHED_LEAF)) ? [usual, fallback] : [fallback];
}

/** The reference's. */
function usualDirectory(at: PlaceInputs, base: string | undefined): string {
  if (at.os === "darwin") return below(base ?? "/tmp", `.rp-${at.uid}`);
  return base === undefined ? below(ownDirectory(at), "broker") : below(base, "running-process", "broker");
}

function ownDirectory(at: PlaceInputs): string {
  return `/tmp/running-process-${at.uid}`;
}

/**
 * A link with a socket's bare name beside a socket whose leaf is a hash: by it the name is found in the directory.
 * Undefined where the leaf is the name.
 */
export function nameLink(
  endpoint: string,
  bareName: string,
): { readonly path: string; readonly target: string } | undefined {
  const [, directory, leaf] = /^(.*\/)([0-9a-f]{16}\.sock)$/s.exec(endpoint) ?? [];
  if (directory === undefined || leaf === undefined) return undefined;
  return { path: `${directory}${bareName}.sock`, target: leaf };
}

/** Is it a directory that only `endpointPath` had reason to make? Its parent must be private as well. */
export function isFallbackDirectory(path: string): boolean {
  return /^\/tmp\/running-process-\d+\/[0-9a-f]{16}$/.test(path);
}

/**
 * Full address of a bare name. `companion` gives an address that has to fit as well: what the label
 * handoff.endpoint makes of the path.
 *
 * @throws BrokerError PATH_TOO_LONG (only for a companion), ENDPOINT_INVALID
 */
export function endpointPath(
  at: PlaceInputs,
  bareName: string,
  companion: (path: string) => string = (path) => path,
): string {
  if (at.os === "win32") return checkEndpointLength(at.os, `\\\\.\\pipe\\${bareName}`);
  const accepts = (path: string): boolean => fits(at.os, path) && fits(at.os, companion(path));
  // macOS has too little room for real names. This comes first: nothing has to be hashed for it.
  const plain = at.os === "linux" ? below(usualDirectory(at, runtimeBase(at)), `${bareName}.sock`) : undefined;
  if (plain !== undefined && accepts(plain)) return plain;
  const leaf = `${hash16(bareName)}.sock`;
  const shorter = socketDirectories(at).map((directory) => below(directory, leaf));
  const shortest = shorter.at(-1) as string;
  return shorter.find(accepts) ?? checkEndpointLength(at.os, companion(shortest), "the label handoff.endpoint");
}

/**
 * Returns `path` when it fits the address structure of `os`. `source` is the option or variable it came from.
 *
 * @throws BrokerError PATH_TOO_LONG
 */
export function checkEndpointLength(os: PlaceInputs["os"], path: string, source?: string): string {
  if (fits(os, path)) return path;
  throw new BrokerError(
    "PATH_TOO_LONG",
    `socket path has ${Buffer.byteLength(path)} bytes, ${LIMIT_LABEL[os]} holds ${SOCKET_PATH_LIMIT[os]}: ${path} (${source === undefined ? "" : `from ${source}; `}give a shorter one)`,
    { details: { path } },
  );
}

/**
 * Returns a socket path that `source`, an option or a variable, gives.
 *
 * @throws BrokerError ENDPOINT_INVALID, PATH_TOO_LONG
 */
export function givenEndpoint(os: PlaceInputs["os"], path: string, source: string): string {
  const fault = os === "win32" ? undefined : pathFault(path);
  if (fault === undefined) return checkEndpointLength(os, path, source);
  throw new BrokerError("ENDPOINT_INVALID", `socket path of ${source} ${fault}: ${JSON.stringify(path)}`, {
    details: { path },
  });
}

function fits(os: PlaceInputs["os"], path: string): boolean {
  return Buffer.byteLength(path) <= SOCKET_PATH_LIMIT[os];
}

/** The value of the variable for sockets; undefined when unset. */
function runtimeBase(at: PlaceInputs): string | undefined {
  const name = RUNTIME_VARIABLE[at.os];
  const value = name && set(at.env[name]);
  if (name === undefined || value === undefined) return undefined;
  const fault = pathFault(value);
  if (fault === undefined) return value;
  throw new BrokerError("ENDPOINT_INVALID", `${name} ${fault}: ${JSON.stringify(value)} (set it to an absolute path)`, {
    details: { path: value },
  });
}

function pathFault(value: string): string | undefined {
  return pathTextFault(value) ?? (value.startsWith("/") ? undefined : "is not an absolute path");
}

/** Directory of `.servicedef` files and where that choice came from. @throws BrokerError OPTION_INVALID, HOME_UNKNOWN */
export function definitionDirectory(at: PlaceInputs): {
  path: string;
  source: "env:RUNNING_PROCESS_SERVICE_DEF_DIR" | "platform-default";
} {
  const override = directoryOf(at, "RUNNING_PROCESS_SERVICE_DEF_DIR");
  if (override !== undefined) return { path: override, source: "env:RUNNING_PROCESS_SERVICE_DEF_DIR" };
  return { path: under(at, "config", "services"), source: "platform-default" };
}

/** Directory of cache manifests. @throws BrokerError OPTION_INVALID, HOME_UNKNOWN */
export function manifestDirectory(at: PlaceInputs): string {
  return directoryOf(at, "RUNNING_PROCESS_MANIFEST_DIR") ?? under(at, "data", "manifests");
}

/**
 * Directory of broker and backend logs (ours; the reference keeps none). Logs of a user without a home directory are
 * beside the sockets: they can be lost with a reboot, and a backend is launched all the same.
 *
 * @throws BrokerError OPTION_INVALID, ENDPOINT_INVALID, HOME_UNKNOWN
 */
export function logDirectory(at: PlaceInputs): string {
  const given = directoryOf(at, "RUNNING_PROCESS_BROKER_LOG_DIR");
  if (given !== undefined) return given;
  // "/" is what containers give a user without an account, who may not write there.
  const homeless = at.os === "linux" && (at.home === "" || (at.home === "/" && at.uid !== 0));
  if (!homeless || set(at.env.XDG_STATE_HOME) !== undefined) return under(at, "state", "logs");
  const base = runtimeBase(at);
  return base === undefined ? below(ownDirectory(at), "logs") : below(base, "running-process", "logs");
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
      return below(directoryOf(at, variable) ?? below(homeOf(at), fallback), "running-process", leaf);
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
 * The path of `names` in `base`, which stays as it was given: client, broker and record must spell an address alike, and
 * taking ".." out of a path changes its meaning where links are involved. For whatever is compared with an address.
 */
export function below(base: string, ...names: readonly string[]): string {
  return (base.endsWith("/") ? base : `${base}/`) + names.join("/");
}

function directoryOf(at: PlaceInputs, variable: string): string | undefined {
  const value = set(at.env[variable]);
  return value && givenPath(value, variable);
}

/** @throws BrokerError HOME_UNKNOWN, OPTION_INVALID */
function homeOf({ home, uid }: PlaceInputs): string {
  if (home.startsWith("/")) return givenPath(home, "HOME");
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
