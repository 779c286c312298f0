/** What concerns this process itself: its environment, its signals, its output. */
import { writeSync } from "node:fs";
import { userInfo } from "node:os";
import { inspect } from "node:util";
import { BrokerError } from "../../base/errors.ts";
import { printableLines } from "../../base/printable.ts";
import { nodeErrno } from "../../base/system-error.ts";
import type { PlaceInputs } from "../../model/places.ts";
import type { Env } from "../ports/index.ts";

/** The environment as it is now. */
export function processEnv(): Env {
  return process.env;
}

/** Variables that belong to one launch and must not reach the launched process's own children. */
const LAUNCH_ONLY = [
  "RUNNING_PROCESS_BROKER_BINARY",
  "RUNNING_PROCESS_BROKER_LISTENER_FD",
  "RUNNING_PROCESS_BROKER_CONTROL_FD",
  "RUNNING_PROCESS_BROKER_ENDPOINT",
  "LISTEN_FDS",
  "LISTEN_PID",
  "LISTEN_FDNAMES",
];

/**
 * The broker's variables of this launch (`RUNNING_PROCESS_BROKER_*`, `LISTEN_*`), once: those that concern this process alone are
 * removed from the environment, as sd_listen_fds(3) does with `unset_environment`.
 */
export function takeLaunchEnvironment(): Env {
  const taken: Record<string, string | undefined> = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (name.startsWith("RUNNING_PROCESS_BROKER_") || name.startsWith("LISTEN_")) taken[name] = value;
  }
  for (const name of LAUNCH_ONLY) delete process.env[name];
  return taken;
}

/** Inputs of the functions in model/places.ts for this process. */
export function placeInputs(env: Env): PlaceInputs {
  const os = process.platform === "darwin" || process.platform === "win32" ? process.platform : "linux";
  return { os, env, uid: process.getuid?.() ?? 0, home: env.HOME || homeOf() };
}

/** Empty for a uid without an account (a container run with any uid), which is said where the directory is needed. */
function homeOf(): string {
  try {
    return userInfo().homedir;
  } catch {
    return "";
  }
}

const STDERR_FD = 2;

/** Writes to stderr at once, for a process that ends and can use no stream of its own. Never throws: the exit status has to do then. */
export function writeLastWords(text: string): void {
  try {
    writeSync(STDERR_FD, text);
  } catch {
    // Closed, or full and non-blocking.
  }
}

/**
 * The working directory; programs may run in one that is gone, and only relative paths need it.
 *
 * @throws BrokerError IO_FAILED (ENOENT)
 */
export function workingDirectory(): string {
  try {
    return process.cwd();
  } catch (error) {
    const errno = nodeErrno(error) ?? "ENOENT";
    throw new BrokerError(
      "IO_FAILED",
      `the working directory cannot be told: ${errno} (it was removed, or may not be read: change to another one, or give absolute paths)`,
      { details: { syscall: "getcwd", errno }, cause: error },
    );
  }
}

/** Calls back on each SIGTERM and SIGINT until disposed; without a callback left, the signals kill again. */
export function onTerminationSignal(callback: (signal: "SIGTERM" | "SIGINT") => void): { dispose(): void } {
  const listener = (signal: NodeJS.Signals): void => callback(signal as "SIGTERM" | "SIGINT");
  process.on("SIGTERM", listener);
  process.on("SIGINT", listener);
  return {
    dispose() {
      process.off("SIGTERM", listener);
      process.off("SIGINT", listener);
    },
  };
}

/** Calls back on each SIGHUP until disposed; without a callback left, the signal kills again. */
export function onHangupSignal(callback: () => void): { dispose(): void } {
  process.on("SIGHUP", callback);
  return { dispose: () => void process.off("SIGHUP", callback) };
}

/**
 * Writes an error with its stack to stderr. It may quote another process, so in a terminal (a daemon that its author runs by
 * hand) what would steer it is written as "?".
 */
export function printError(error: unknown): void {
  const text = `${inspect(error)}\n`;
  process.stderr.write(process.stderr.isTTY === true ? printableLines(text) : text);
}

/** A daemon outlives whoever reads its output, and must not die of a closed pipe or a full disk behind it. */
export function tolerateOutputErrors(): void {
  for (const stream of [process.stdout, process.stderr])
    if (!stream.listeners("error").includes(tolerate)) stream.on("error", tolerate);
}

function tolerate(): void {}
