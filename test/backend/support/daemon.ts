/** Daemons on the SDK as real processes: a few lines of source, written to a file and run. */
import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";

/** The built one: a process that also loads the transpiler costs three times as much. */
const SDK = new URL("../../../dist/backend/index.js", import.meta.url).href;

export interface Place {
  readonly directory: string;
  /** Path for the daemon's socket. */
  readonly socket: string;
}

export function createPlace(t: TestContext): Place {
  const directory = realpathSync(mkdtempSync(join(tmpdir(), "rpd-")));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return { directory, socket: join(directory, "s") };
}

export interface Daemon {
  readonly process: ChildProcess;
  readonly pid: number;
  /** Resolves with the next line on its stdout; rejects when it ends first. */
  line(): Promise<string>;
  /** How it ended, and all it wrote to stderr. */
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null; stderr: string }>;
}

export interface StartOptions {
  readonly place: Place;
  /** Body of a module that has `serve` and `bootstrap`; it prints a line when it is up. */
  readonly source: string;
  readonly env?: Record<string, string>;
  /** Descriptor for the daemon's 3. */
  readonly fd?: number;
  /** Execute the file itself, through its #! line. */
  readonly asScript?: boolean;
  /** Set LISTEN_PID to the daemon's own pid, as a socket-activating parent does. */
  readonly listenPid?: boolean;
}

/** The file of the daemon, as it is executed. */
export function scriptPath(place: Place): string {
  return join(place.directory, "daemon.mjs");
}

/** Starts it as a broker would, with the endpoint in its environment. It is killed after the test. */
export function startDaemon(t: TestContext, options: StartOptions): Daemon {
  const { place } = options;
  const file = scriptPath(place);
  const source = `#!/usr/bin/env node\nimport { bootstrap, serve } from ${JSON.stringify(SDK)};\n${options.source}`;
  writeFileSync(file, source);
  chmodSync(file, 0o755);
  const command = options.asScript ? [file] : [process.execPath, file];
  const [program = "", ...args] = options.listenPid
    ? ["/bin/sh", "-c", 'LISTEN_PID=$$ exec "$0" "$@"', ...command]
    : command;
  const child = spawn(program, args, {
    stdio: ["ignore", "pipe", "pipe", ...(options.fd === undefined ? [] : [options.fd])],
    env: {
      PATH: process.env.PATH ?? "",
      RUNNING_PROCESS_BROKER_V1_BACKEND_PIPE: place.socket,
      RUNNING_PROCESS_BROKER_V1_BACKEND_NAMESPACE: "shared",
      RUNNING_PROCESS_BROKER_V1_SERVICE_NAME: "fmt",
      RUNNING_PROCESS_BROKER_V1_SERVICE_VERSION: "1.2.3",
      ...options.env,
    },
  });
  let stderr = "";
  child.stderr?.on("data", (chunk) => (stderr += String(chunk)));
  const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null; stderr: string }>((resolve) =>
    child.once("close", (code, signal) => resolve({ code, signal, stderr })),
  );
  t.after(async () => {
    child.kill("SIGKILL");
    await ended;
  });
  return { process: child, pid: child.pid ?? 0, line: lineReader(child, ended), ended };
}

function lineReader(child: ChildProcess, ended: Daemon["ended"]): () => Promise<string> {
  let text = "";
  let wake = (): void => {};
  let over = false;
  child.stdout?.on("data", (chunk) => {
    text += String(chunk);
    wake();
  });
  void ended.then(() => {
    over = true;
    wake();
  });
  return async () => {
    for (;;) {
      const end = text.indexOf("\n");
      if (end >= 0) {
        const line = text.slice(0, end);
        text = text.slice(end + 1);
        return line;
      }
      if (over) throw new Error(`the daemon ended: ${(await ended).stderr}`);
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
}
