/**
 * Who this process is, as the broker will check it against the kernel: for a `#!` script that was executed by its path
 * that is the script, for anything else the executable.
 */
import { posix } from "node:path";
import type { BackendIdentity } from "../model/identity.ts";
import type { Platform } from "../platform/ports.ts";
import type { BackendAddress } from "./launch-environment.ts";

export type IdentityPorts = Pick<Platform, "clock" | "processes" | "files" | "host">;

/** Seconds; what launched backends put into their record. Frozen, and never compared. */
const IDLE_TIMEOUT_SECS = 30;

/**
 * Reads the executable (100 to 200 ms for a large one, none of it blocking) and builds the record.
 *
 * @throws BrokerError IO_FAILED when the executable cannot be read any more
 */
export async function identifySelf(platform: IdentityPorts, address: BackendAddress): Promise<BackendIdentity> {
  const { processes, files, host, clock } = platform;
  const startedAtUnixMs = clock.wallMs();
  const exePath = ownBinary(platform);
  const [sha256, blake3] = await Promise.all([files.sha256Executable(exePath), files.blake3Executable(exePath)]);
  return {
    pid: processes.selfPid,
    exePath,
    sha256,
    blake3,
    endpoint: { namespaceId: address.namespaceId, path: address.path },
    startedAtUnixMs,
    bootId: host.bootId(),
    idleTimeoutSecs: IDLE_TIMEOUT_SECS,
  };
}

/** Canonical path of the file whose content this process is. */
function ownBinary(platform: Pick<Platform, "processes" | "files">): string {
  const { processes, files } = platform;
  const script = processes.selfScriptPath;
  if (script === undefined || files.executableFault(script) !== undefined) return processes.selfExePath;
  const line = files.interpreterLine(script);
  const program = processes.inspect(processes.selfPid)?.argv[0];
  return line !== undefined && program === programOfLine(line) ? script : processes.selfExePath;
}

/**
 * What the kernel shows as argument 0 after executing a script with this `#!` line: the interpreter's path, or with
 * env(1) the name that env was given. A definition that starts the interpreter itself, with the script as an argument,
 * shows the interpreter's full path instead, and its identity is the interpreter.
 */
function programOfLine(line: string): string | undefined {
  const [program, ...rest] = line.split(/[ \t]+/).filter((word) => word !== "");
  if (program === undefined || posix.basename(program) !== "env") return program;
  return rest.find((word) => !word.startsWith("-") && !word.includes("="));
}
