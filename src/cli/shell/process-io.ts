/**
 * What a command line touches of its own process, as one object: verbs get it handed and are run in tests without a
 * process of their own. Besides this file only main.ts names `process`, for what is before and after it.
 */
// biome-ignore lint/plugin: our own standard output is what this file is about.
import { closeSync, fstatSync, openSync } from "node:fs";
// biome-ignore lint/plugin: as above.
import { devNull } from "node:os";
import type { Readable, Writable } from "node:stream";
import type { BrokerError } from "../../base/errors.ts";
import { isPeerGone } from "../../base/peer-errno.ts";
import { nodeErrno, systemCallFailed } from "../../base/system-error.ts";
import {
  closeUnaskedDebugger,
  isAt,
  loadOwnHeap,
  type OwnHeap,
  onHangupSignal,
  onTerminationSignal,
  processEnv,
  systemClock,
  tolerateOutputErrors,
  workingDirectory,
} from "../../platform/platform.ts";
import type { Env } from "../../platform/ports/index.ts";
import { createOutput, type Output } from "./output.ts";

export interface ProcessIo extends Output {
  /** Arguments without interpreter and script. */
  readonly args: readonly string[];
  readonly env: Env;
  /** Throws BrokerError IO_FAILED when it is gone. */
  readonly cwd: string;
  /** For verbs that become a daemon. */
  heap(): Promise<OwnHeap>;
  /** The same: ends a debugger that SIGUSR1 opened before the first statement of this program ran. */
  closeUnaskedDebugger(): void;
  /** From here on this is a daemon: its end does not depend on who reads its output. */
  becomeDaemon(): void;
  readonly stdin: Readable;
  readonly stdout: Writable;
  readonly stdoutIsTerminal: boolean;
  readonly stderrIsTerminal: boolean;
  /** Is stderr the file at this path? */
  stderrIs(path: string): boolean;
  /** Calls back on each SIGTERM and SIGINT until disposed. */
  onTermination(callback: (signal: "SIGTERM" | "SIGINT") => void): { dispose(): void };
  /** Calls back on each SIGHUP until disposed. */
  onHangup(callback: () => void): { dispose(): void };
  /**
   * Resolves with why standard output could not be written, once everything is: an answer that is lost on a full disk is none.
   * Undefined also for a reader that has gone; it has what it wanted.
   */
  outputFault(): Promise<BrokerError | undefined>;
  /** Ends stdout for whoever reads it, once everything is written; later output goes nowhere. */
  endOutput(): Promise<void>;
  /**
   * Ends the process once its output is written, or cannot be. A reader of stdout may take its time, as with any program;
   * one that does not read stderr is waited for at most a second, and one that does not read a daemon's stdout as well.
   */
  exit(code: number): Promise<never>;
}

export function createProcessIo(): ProcessIo {
  tolerateOutputErrors();
  const outputFault = watchOutput();
  const stdoutIsTerminal = process.stdout.isTTY === true;
  let daemon = false;
  return {
    args: process.argv.slice(2),
    env: processEnv(),
    get cwd(): string {
      return workingDirectory();
    },
    heap: loadOwnHeap,
    closeUnaskedDebugger,
    becomeDaemon: () => {
      daemon = true;
    },
    // Getters: touching stdin or stdout opens them, which `serve` has no use for.
    get stdin(): Readable {
      return process.stdin;
    },
    get stdout(): Writable {
      return process.stdout;
    },
    stdoutIsTerminal,
    stderrIsTerminal: process.stderr.isTTY === true,
    stderrIs,
    ...createOutput({
      stdoutIsTerminal,
      writeOut: (text) => void process.stdout.write(text),
      // What a reader that stalls has not taken beyond 1 MiB is dropped, so that a daemon's log cannot eat its memory.
      writeErr: (text) => {
        if (process.stderr.writableLength < MAX_BACKLOG_BYTES) process.stderr.write(text);
      },
    }),
    onTermination: onTerminationSignal,
    onHangup: onHangupSignal,
    outputFault,
    endOutput,
    exit: async (code) => {
      const output = flush(process.stdout);
      await Promise.all([daemon ? within(PATIENCE_MS, output) : output, within(PATIENCE_MS, flush(process.stderr))]);
      return process.exit(code);
    },
  };
}

function watchOutput(): () => Promise<BrokerError | undefined> {
  let fault: BrokerError | undefined;
  process.stdout.on("error", (error) => {
    const errno = nodeErrno(error);
    if (errno === undefined || isPeerGone(error)) return;
    fault ??= systemCallFailed({ syscall: "write", errno, path: "standard output" }, error);
  });
  return () => flush(process.stdout).then(() => fault);
}

/** Node never closes its standard streams by itself. The null device takes the number, so that no socket gets it. */
async function endOutput(): Promise<void> {
  await flush(process.stdout);
  closeSync(STDOUT_FD);
  openSync(devNull, "w");
}

const STDOUT_FD = 1;
const STDERR_FD = 2;
const MAX_BACKLOG_BYTES = 1024 * 1024;

/** For a reader of stderr who may not be one at all. */
const PATIENCE_MS = 1_000;

function within(ms: number, work: Promise<void>): Promise<void> {
  return new Promise((resolve) => {
    const timer = systemClock.schedule(ms, resolve);
    void work.then(() => {
      timer.cancel();
      resolve();
    });
  });
}

function stderrIs(path: string): boolean {
  try {
    return fstatSync(STDERR_FD).isFile() && isAt(path, STDERR_FD);
  } catch {
    return false;
  }
}

function flush(stream: Writable): Promise<void> {
  return new Promise((resolve) => stream.write("", () => resolve()));
}
