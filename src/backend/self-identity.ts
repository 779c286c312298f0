/**
 * Who this process is, as the broker will check it against the kernel: for a `#!` script that was executed by its path
 * that is the script, for anything else the executable.
 */
import type { BackendIdentity } from "../model/identity.ts";
import type { Paths, Platform } from "../platform/ports/index.ts";
import type { BackendAddress } from "./launch-environment.ts";

export type IdentityPorts = Pick<Platform, "clock" | "processes" | "files" | "host">;

/** Seconds; what launched backends put into their record. Frozen, and never compared. */
const IDLE_TIMEOUT_SECS = 30;

/**
 * The record with its SHA-256, which a broker of ours is content with. Reads the executable, 50 ms for a large one, none
 * of it blocking.
 *
 * @throws BrokerError IO_FAILED when the executable cannot be read any more
 */
export async function identifySelf(platform: IdentityPorts, address: BackendAddress): Promise<BackendIdentity> {
  const { processes, files, host, clock } = platform;
  const startedAtUnixMs = clock.wallMs();
  const exePath = address.binary ?? ownBinary(platform);
  return {
    pid: processes.selfPid,
    exePath,
    sha256: await files.sha256Executable(exePath),
    endpoint: { namespaceId: address.namespaceId, path: address.path },
    startedAtUnixMs,
    bootId: host.bootId(),
    idleTimeoutSecs: IDLE_TIMEOUT_SECS,
  };
}

/**
 * The same with BLAKE3, which probers of the reference's later versions insist on. Costs two to three times as much,
 * and a little of it blocks.
 *
 * @throws BrokerError IO_FAILED
 */
export async function withBlake3(platform: IdentityPorts, identity: BackendIdentity): Promise<BackendIdentity> {
  return { ...identity, blake3: await platform.files.blake3Executable(identity.exePath) };
}

/** Canonical path of the file whose content this process is. */
function ownBinary(platform: Pick<Platform, "processes" | "files">): string {
  const { processes, files } = platform;
  const script = processes.selfScriptPath;
  if (script === undefined || files.executableFault(script) !== undefined) return processes.selfExePath;
  const line = files.interpreterLine(script);
  const program = processes.inspect(processes.selfPid)?.argv[0];
  return line !== undefined && program === programOfLine(files.paths, line) ? script : processes.selfExePath;
}

/**
 * What the kernel shows as argument 0 after executing a script with this `#!` line: the interpreter's path, or with
 * env(1) the name that env was given. A definition that starts the interpreter itself, with the script as an argument,
 * shows the interpreter's full path instead, and its identity is the interpreter.
 */
function programOfLine({ basename }: Paths, line: string): string | undefined {
  const [program, ...rest] = line.split(/[ \t]+/).filter((word) => word !== "");
  if (program === undefined || basename(program) !== "env") return program;
  return rest.find((word) => !word.startsWith("-") && !word.includes("="));
}
