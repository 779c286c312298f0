/**
 * Starting, finding and ending processes.
 *
 * Children are started through Node's own spawn: it closes every descriptor that is not passed (all of ours are
 * close-on-exec), makes a new session, and reaps the child when it ends, so that no zombie is left.
 */
import type { ChildProcess, StdioOptions } from "node:child_process";
import { closeSync, existsSync, openSync, readSync } from "node:fs";
import type { Deadline } from "../../../base/clock.ts";
import { BrokerError } from "../../../base/errors.ts";
import { errnoText } from "../../../base/system-error.ts";
import type { ExitStatus } from "../../../model/exit-status.ts";
import { errnoOf } from "../../errno.ts";
import type { Processes, ProcessHandle, SpawnedProcess, SpawnOptions, Transferable } from "../../ports/index.ts";
import { fdOf } from "../../posix/descriptors.ts";
import { hasEnvironment, listPids, readFacts, readStat } from "./proc.ts";
import { openProcess } from "./process-handle.ts";
import { createOwnProcess } from "./self.ts";
import { countConnections } from "./unix-connections.ts";
import { holdersOf, listenersAt } from "./unix-listeners.ts";

export function createProcesses(): Processes {
  // Assigned to, not spread: its properties are looked up when they are asked for.
  return Object.assign(createOwnProcess(), {
    spawn: (options: SpawnOptions) => start(options, outputOf(options)).then(({ child }) => createSpawned(child)),
    spawnAndAwaitLine,
    numberInChild,
    inspect: readFacts,
    open: openProcess,
    findDescendants,
    countConnections,
    listenersAt,
    holdersOf,
  });
}

/** The first number behind the standard streams, which is where Node's spawn puts what comes after them. */
const FIRST_INHERITED_FD = 3;

function numberInChild(inherit: readonly Transferable[], transferable: Transferable): number {
  const place = inherit.indexOf(transferable);
  if (place < 0) throw new Error("a child has no number for what it does not inherit");
  return FIRST_INHERITED_FD + place;
}

function outputOf({ output }: SpawnOptions): number | "ignore" {
  return output === undefined ? "ignore" : fdOf(output);
}

/** More than any magic number needs (execve(2): the kernel itself looks at 256 bytes). */
const TEXT_PROBE_BYTES = 256;

async function start(options: SpawnOptions, stdout: number | "ignore" | "pipe"): Promise<{ child: ChildProcess }> {
  const stdio: StdioOptions = ["ignore", stdout, outputOf(options), ...(options.inherit ?? []).map(fdOf)];
  if (isPlainText(options.file)) throw spawnFailed(options.file, "ENOEXEC");
  const child = spawnNow(options, stdio);
  child.unref();
  await new Promise<void>((resolve, reject) => {
    child.once("spawn", resolve);
    child.once("error", (error) => reject(spawnFailed(options.file, errnoOf(error), error)));
  });
  // Later failures to signal or talk to it are not ours to die of; its end is seen by the exit event.
  child.on("error", () => {});
  return { child };
}

/** Node reports EACCES, EAGAIN, EMFILE, ENFILE and ENOENT by an event and throws every other failure (E2BIG, ENOTDIR, …). */
function spawnNow(options: SpawnOptions, stdio: StdioOptions): ChildProcess {
  try {
    // Not every client or backend starts something; those that do not are spared the loading.
    return process.getBuiltinModule("node:child_process").spawn(options.file, [...options.args], {
      detached: true,
      stdio,
      env: { ...options.env },
      cwd: options.cwd,
    });
  } catch (error) {
    throw spawnFailed(options.file, errnoOf(error), error);
  }
}

/**
 * Node starts programs by execvp(3), which gives what the kernel refuses with ENOEXEC to /bin/sh: a program in another
 * language that lacks its `#!` line would be run as shell commands. Files with NUL bytes are left to the kernel, which
 * may know their format (binfmt_misc).
 */
function isPlainText(file: string): boolean {
  const head = Buffer.alloc(TEXT_PROBE_BYTES);
  let length: number;
  try {
    const fd = openSync(file, "r");
    try {
      length = readSync(fd, head, 0, head.length, 0);
    } finally {
      closeSync(fd);
    }
  } catch {
    // What cannot be read is not judged; an interpreter could not read it either.
    return false;
  }
  const start = head.subarray(0, length);
  return !start.includes(0) && !start.toString("latin1").startsWith("#!");
}

function spawnFailed(file: string, errno = "unknown error", cause?: unknown): BrokerError {
  const missing = errno === "ENOENT" && existsSync(file) ? ` (${whatIsMissing()})` : "";
  return new BrokerError("SPAWN_FAILED", `${file} could not be started: ${errnoText(errno)}${missing}`, {
    details: { path: file, errno, syscall: "execve" },
    cause,
  });
}

/** The child opens more than its program, and says no more than that something was not there. */
function whatIsMissing(): string {
  return existsSync("/dev/null")
    ? "its interpreter or its working directory is missing"
    : "/dev/null is missing: mount /dev";
}

async function spawnAndAwaitLine(
  options: SpawnOptions,
  deadline: Deadline,
): Promise<{ child: SpawnedProcess; line: string | undefined }> {
  const { child: raw } = await start(options, "pipe");
  const child = createSpawned(raw);
  try {
    return { child, line: await firstLine(raw, deadline) };
  } catch (error) {
    child.kill();
    throw error;
  } finally {
    raw.stdout?.destroy();
  }
}

/** What a first line may have at most; a longer one is cut there. */
const MAX_LINE_CHARS = 4096;

function firstLine(child: ChildProcess, deadline: Deadline): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    let text = "";
    const timer = deadline.arm(() => {
      reject(
        new BrokerError("DEADLINE_EXCEEDED", "the deadline passed while waiting for a started process to get ready", {
          details: { pid: child.pid ?? 0 },
        }),
      );
    });
    child.stdout?.setEncoding("utf8");
    child.stdout?.on("data", (chunk: string) => {
      text += chunk;
      const end = text.indexOf("\n");
      if (end < 0 && text.length < MAX_LINE_CHARS) return;
      timer.cancel();
      resolve(text.slice(0, end < 0 ? MAX_LINE_CHARS : end));
    });
    child.stdout?.on("end", () => {
      timer.cancel();
      resolve(undefined);
    });
    // Without this the pipe of a child that nobody else holds would not keep us waiting.
    child.ref();
    child.stdout?.once("close", () => child.unref());
  });
}

/**
 * Signals go through Node: the number of a child cannot be reused before we reap it, and afterwards Node signals nobody.
 * The pidfd is for seeing a death before its event comes; without one, as when descriptors run out, that much is lost.
 */
function createSpawned(child: ChildProcess): SpawnedProcess {
  // "spawn" was emitted, so there is a pid.
  const pid = child.pid as number;
  const handle = openProcess(pid);
  let exitStatus: ExitStatus | undefined;
  const callbacks: (() => void)[] = [];
  child.once("exit", (code, signal) => {
    exitStatus = { code, signal };
    handle?.close();
    for (const callback of callbacks.splice(0)) callback();
  });
  return {
    pid,
    get exitStatus() {
      return exitStatus;
    },
    isAlive: () => exitStatus === undefined && (handle?.isAlive() ?? true),
    onExit: (callback) => {
      if (exitStatus !== undefined) callback();
      else callbacks.push(callback);
    },
    askToEnd: () => child.kill("SIGTERM"),
    kill: () => child.kill("SIGKILL"),
    close: () => handle?.close(),
  };
}

function findDescendants(options: { sessionId: number; marker: string }): ProcessHandle[] {
  const found: ProcessHandle[] = [];
  for (const pid of pidsInSight()) {
    if (pid === process.pid) continue;
    const handle = matches(pid, options) ? openProcess(pid) : undefined;
    if (handle === undefined) continue;
    // Looked at again now that the number is pinned: it may have changed owners in between.
    if (matches(pid, options) && handle.isAlive()) found.push(handle);
    else handle.close();
  }
  return found;
}

/** None without /proc or descriptors: who ends a backend is not to fail for what it may have left. */
function pidsInSight(): readonly number[] {
  try {
    return listPids();
  } catch {
    return [];
  }
}

function matches(pid: number, options: { sessionId: number; marker: string }): boolean {
  return readStat(pid)?.sessionId === options.sessionId || hasEnvironment(pid, options.marker);
}
