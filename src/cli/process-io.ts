/**
 * What a command line touches of its own process, as one object: verbs get it handed and are run in tests without a
 * process of their own. Only this file and the two entry files name `process`.
 */
// biome-ignore lint/plugin: our own standard output is what this file is about.
import { closeSync, openSync } from "node:fs";
// biome-ignore lint/plugin: as above.
import { devNull } from "node:os";
import type { Readable, Writable } from "node:stream";
import {
  closeUnaskedDebugger,
  loadOwnHeap,
  type OwnHeap,
  onHangupSignal,
  onTerminationSignal,
  processEnv,
  tolerateOutputErrors,
  workingDirectory,
} from "../platform/platform.ts";
import type { Env } from "../platform/ports.ts";
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
  readonly stdin: Readable;
  readonly stdout: Writable;
  readonly stdoutIsTerminal: boolean;
  readonly stderrIsTerminal: boolean;
  /** Calls back on each SIGTERM and SIGINT until disposed. */
  onTermination(callback: (signal: "SIGTERM" | "SIGINT") => void): { dispose(): void };
  /** Calls back on each SIGHUP until disposed. */
  onHangup(callback: () => void): { dispose(): void };
  /** Ends stdout for whoever reads it, once everything is written; later output goes nowhere. */
  endOutput(): Promise<void>;
  /** Ends the process as soon as its output is written, or cannot be. */
  exit(code: number): Promise<never>;
}

export function createProcessIo(): ProcessIo {
  tolerateOutputErrors();
  const stdoutIsTerminal = process.stdout.isTTY === true;
  return {
    args: process.argv.slice(2),
    env: processEnv(),
    get cwd(): string {
      return workingDirectory();
    },
    heap: loadOwnHeap,
    closeUnaskedDebugger,
    // Getters: touching stdin or stdout opens them, which `serve` has no use for.
    get stdin(): Readable {
      return process.stdin;
    },
    get stdout(): Writable {
      return process.stdout;
    },
    stdoutIsTerminal,
    stderrIsTerminal: process.stderr.isTTY === true,
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
    endOutput,
    exit: async (code) => {
      await Promise.all([flush(process.stdout), flush(process.stderr)]);
      return process.exit(code);
    },
  };
}

/** Node never closes its standard streams by itself. The null device takes the number, so that no socket gets it. */
async function endOutput(): Promise<void> {
  await flush(process.stdout);
  closeSync(STDOUT_FD);
  openSync(devNull, "w");
}

const STDOUT_FD = 1;
const MAX_BACKLOG_BYTES = 1024 * 1024;

function flush(stream: Writable): Promise<void> {
  return new Promise((resolve) => stream.write("", () => resolve()));
}
