/**
 * A place of its own for each test: directories, environment, broker binary, and at the end the proof that nothing was
 * left behind. Every process started in it carries the place's path in its environment, which is how leaks are found.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { isFallbackDirectory, runtimeDirectory, socketDirectories } from "../../src/model/places.ts";
import { createServiceDefinition, type ServiceDefinitionInit } from "../../src/model/service-definition.ts";
import { loadPlatform, placeInputs } from "../../src/platform/platform.ts";
import type { Platform } from "../../src/platform/ports/index.ts";
import { createDefinitionStore } from "../../src/store/definition-store.ts";
import { commandLine, pidsOf } from "./process-facts.ts";

export const PROJECT = fileURLToPath(new URL("../..", import.meta.url));
export const RPB = join(PROJECT, "dist/cli/rpb.cjs");
export const COMPAT = join(PROJECT, "dist/cli/compat.cjs");
export const FIXTURES = join(PROJECT, "test/fixtures");

export interface World {
  readonly root: string;
  readonly env: Record<string, string>;
  readonly platform: Platform;
  /** Directory of broker and backend sockets. */
  readonly runtime: string;
  readonly definitions: string;
  readonly logs: string;
  /** Writes a definition; `binary` names a fixture, and is put below the world unless absolute. */
  define(init: Partial<ServiceDefinitionInit> & { serviceName: string; binary?: string }): void;
  /** Makes a fixture available as an executable of this world, so that tests may replace or remove it. */
  install(fixture: string, as?: string): string;
  /** Starts `rpb serve` and resolves once it is ready. */
  startBroker(args?: readonly string[], options?: BrokerStart): Promise<RunningBroker>;
  /** Runs a program to its end. */
  run(
    file: string,
    args: readonly string[],
    options?: { env?: Record<string, string>; input?: string | Buffer },
  ): Promise<Finished>;
  /** Pids of live processes of this world. */
  processes(): number[];
  /** Kept until the end of the test; killed there if still alive. */
  track(child: ChildProcess): ChildProcess;
}

export interface BrokerStart {
  readonly env?: Record<string, string>;
  /** Default: that of `rpb`. */
  readonly script?: string;
  readonly cwd?: string;
}

export interface Finished {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunningBroker {
  readonly endpoint: string;
  readonly process: ChildProcess;
  readonly pid: number;
  /** Log lines so far. */
  log(): string;
  /** Resolves when the log holds a line that matches; rejects when the broker ends first. */
  logged(pattern: RegExp): Promise<string>;
  /** SIGTERM and wait for the end. */
  stop(): Promise<Finished>;
  readonly ended: Promise<Finished>;
}

/** Creates a world that cleans up and checks itself when the test ends. */
export async function createWorld(
  t: TestContext,
  options: {
    leavesProcesses?: boolean;
    /** XDG_RUNTIME_DIR, given the world's own directory; made with mode 0700 unless it is there. Default: that directory. */
    runtimeDirectory?: (root: string) => string;
  } = {},
): Promise<World> {
  // As short as can be, so that addresses below it are the usual ones.
  const root = mkdtempSync(`${tmpdir()}/`);
  const dirs = {
    run: options.runtimeDirectory?.(root) ?? root,
    config: join(root, "config"),
    state: join(root, "state"),
    bin: join(root, "bin"),
    tmp: join(root, "tmp"),
  };
  for (const dir of Object.values(dirs)) if (!existsSync(dir)) mkdirSync(dir, { recursive: true, mode: 0o700 });
  const env: Record<string, string> = {
    PATH: process.env.PATH ?? "/usr/bin:/bin",
    HOME: root,
    TMPDIR: dirs.tmp,
    XDG_RUNTIME_DIR: dirs.run,
    XDG_CONFIG_HOME: dirs.config,
    XDG_STATE_HOME: dirs.state,
    RUNNING_PROCESS_BROKER_ALLOW_PRIVILEGED: "1",
  };
  const platform = await loadPlatform();
  const places = placeInputs(env);
  const definitions = join(dirs.config, "running-process/services");
  const children: ChildProcess[] = [];

  const world: World = {
    root,
    env,
    platform,
    runtime: runtimeDirectory(places) as string,
    definitions,
    logs: join(dirs.state, "running-process/logs"),
    install(fixture, as = fixture) {
      const path = join(dirs.bin, as);
      writeFileSync(
        path,
        readFileSync(join(FIXTURES, fixture), "utf8").replaceAll("@PROJECT@", PROJECT.replace(/\/$/, "")),
      );
      chmodSync(path, 0o755);
      return path;
    },
    define({ binary, ...init }) {
      const binaryPath = init.binaryPath ?? world.install(binary ?? "reverse.mjs");
      const labels = { "exec.bind": "broker", ...init.labels };
      createDefinitionStore(platform.files, definitions).save(
        createServiceDefinition({ perVersionBinaryDir: dirs.bin, ...init, binaryPath, labels }),
      );
    },
    startBroker: (args = [], start = {}) => startBroker(world, args, start),
    run: (file, args, more = {}) => run(world, file, args, more),
    processes: () => pidsOf(root),
    track(child) {
      children.push(child);
      return child;
    },
  };

  t.after(async () => {
    for (const child of children) if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
    await Promise.all(
      children.map((child) => (child.exitCode === null && child.signalCode === null ? once(child, "exit") : undefined)),
    );
    const leaked = pidsOf(root).map((pid) => `${pid} ${commandLine(pid)}`);
    for (const line of leaked) process.kill(Number(line.split(" ")[0]), "SIGKILL");
    const left = leftIn(socketDirectories(places));
    for (const dir of [root, dirs.run, ...socketDirectories(places).filter(isFallbackDirectory)])
      rmSync(dir, { recursive: true, force: true });
    if (options.leavesProcesses) return;
    if (leaked.length > 0) throw new Error(`processes left behind:\n${leaked.join("\n")}`);
    if (left.length > 0) throw new Error(`files left in the runtime directory: ${left.join(", ")}`);
  });
  return world;
}

/** Names of what brokers left; of a directory that only they made, the directory itself. */
function leftIn(directories: readonly string[]): string[] {
  return directories
    .filter((directory) => existsSync(directory))
    .flatMap((directory) => [...(isFallbackDirectory(directory) ? [directory] : []), ...readdirSync(directory)]);
}

async function startBroker(
  world: World,
  args: readonly string[],
  { env = {}, script = RPB, cwd }: BrokerStart,
): Promise<RunningBroker> {
  const child = world.track(
    spawn(process.execPath, [script, "serve", "--log-format", "json", ...args], {
      env: { ...world.env, ...env },
      cwd,
      stdio: ["ignore", "pipe", "pipe"],
    }),
  );
  let log = "";
  const watchers = new Set<() => void>();
  child.stderr?.setEncoding("utf8").on("data", (chunk: string) => {
    log += chunk;
    for (const look of watchers) look();
  });
  const ended = collect(
    child,
    () => "",
    () => log,
  );
  const first = await Promise.race([
    once(createInterface({ input: child.stdout as NodeJS.ReadableStream }), "line"),
    ended,
  ]);
  const line = Array.isArray(first) ? String(first[0]) : undefined;
  if (line === undefined || !line.startsWith("ready ")) throw new Error(`broker did not get ready: ${line ?? log}`);
  return {
    endpoint: endpointIn(line.slice("ready ".length)),
    process: child,
    pid: child.pid as number,
    ended,
    log: () => log,
    logged: (pattern) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const found = log.split("\n").find((entry) => pattern.test(entry));
          if (found === undefined) return;
          watchers.delete(look);
          resolve(found);
        };
        watchers.add(look);
        void ended.then(() => reject(new Error(`the broker ended without logging ${pattern}:\n${log}`)));
        look();
      }),
    stop: () => {
      child.kill("SIGTERM");
      return ended;
    },
  };
}

function endpointIn(said: string): string {
  return said.startsWith('"') ? (JSON.parse(said) as string) : said;
}

function run(
  world: World,
  file: string,
  args: readonly string[],
  more: { env?: Record<string, string>; input?: string | Buffer },
): Promise<Finished> {
  const child = world.track(
    spawn(file, [...args], { env: { ...world.env, ...more.env }, stdio: ["pipe", "pipe", "pipe"] }),
  );
  let stdout = "";
  let stderr = "";
  child.stdout?.setEncoding("utf8").on("data", (chunk: string) => (stdout += chunk));
  child.stderr?.setEncoding("utf8").on("data", (chunk: string) => (stderr += chunk));
  child.stdin?.on("error", () => {});
  child.stdin?.end(more.input);
  return collect(
    child,
    () => stdout,
    () => stderr,
  );
}

function collect(child: ChildProcess, stdout: () => string, stderr: () => string): Promise<Finished> {
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => resolve({ code, signal, stdout: stdout(), stderr: stderr() }));
  });
}

export function modeOf(path: string): number {
  return statSync(path).mode & 0o7777;
}
