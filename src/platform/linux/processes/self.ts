/**
 * What this process is, by the kernel and by its own command line. Looked up when it is asked for: a client that only connects
 * needs none of it, and must work where /proc is not mounted.
 */
import { realpathSync, statSync } from "node:fs";
import { BrokerError } from "../../../base/errors.ts";
import { errnoOf, fromNodeError } from "../../errno.ts";
import type { OwnProcess } from "../../ports/index.ts";
import { lend, receivedOf } from "../../posix/descriptors.ts";

/** Node 22.14 and 23.7 on. */
const NO_DEBUGGER_FLAG = "--disable-sigusr1";

export function createOwnProcess(): OwnProcess {
  let exePath: string | undefined;
  return {
    selfPid: process.pid,
    get selfExePath() {
      exePath ??= readExePath();
      return exePath;
    },
    get selfScriptPath() {
      return scriptPath();
    },
    get selfNode() {
      if (isSingleExecutable())
        throw new BrokerError(
          "PLATFORM_UNSUPPORTED",
          "this program is a single executable and has no Node to run a broker with: start one with rpb serve, or name a program in broker.startCommand",
        );
      const flags = process.allowedNodeEnvironmentFlags.has(NO_DEBUGGER_FLAG) ? [NO_DEBUGGER_FLAG] : [];
      return { file: this.selfExePath, args: flags };
    },
    get selfCommand() {
      return { file: process.execPath, args: [...process.execArgv, ...process.argv.slice(1)] };
    },
    lend,
    inherited: receivedOf,
    requireProc,
    endBySignal(signal) {
      process.kill(process.pid, signal);
    },
  };
}

function readExePath(): string {
  try {
    return realpathSync("/proc/self/exe");
  } catch (error) {
    requireProc();
    throw fromNodeError(error, "/proc/self/exe");
  }
}

/** @see OwnProcess.requireProc */
function requireProc(): void {
  try {
    // A directory of another process would do for none of our purposes: a mount from another pid namespace shows no self.
    statSync("/proc/self/stat");
  } catch (error) {
    if (!["ENOENT", "ENOTDIR"].includes(errnoOf(error) ?? "")) throw fromNodeError(error, "/proc/self/stat");
    throw new BrokerError(
      "PLATFORM_UNSUPPORTED",
      "/proc is not mounted, and without it a broker can neither prove nor watch a backend: mount it (mount -t proc proc /proc), or use a broker outside this environment",
      { details: { path: "/proc", errno: "ENOENT" } },
    );
  }
}

/** Undefined for a program without a script, such as `node -e` or the REPL, and when its file is gone. */
function scriptPath(): string | undefined {
  const script = process.argv[1];
  if (script === undefined) return undefined;
  try {
    return realpathSync(script);
  } catch {
    return undefined;
  }
}

function isSingleExecutable(): boolean {
  const sea = process.getBuiltinModule("node:sea") as { isSea?: () => boolean } | undefined;
  return sea?.isSea?.() === true;
}
