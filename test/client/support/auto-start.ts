/** Starts of a small broker, each in a directory of its own. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { type OpenedBroker, startBroker } from "../../../src/client/auto-start.ts";
import type { BrokerStart } from "../../../src/client/start-command.ts";
import { createTimeBox } from "../../../src/client/time-box.ts";
import { loadPlatform } from "../../../src/platform/platform.ts";
import type { Platform } from "../../../src/platform/ports/index.ts";

const TINY_BROKER = fileURLToPath(new URL("../../support/peers/tiny-broker.mjs", import.meta.url));

export interface Stage {
  readonly platform: Platform;
  readonly start: BrokerStart;
  readonly socket: string;
  /** Pids and facts of the programs that were started so far. */
  starts(): { pid: number; argv: string[]; cwd: string; env: Record<string, string> }[];
  open(options?: { timeoutMs?: number; signal?: AbortSignal }): Promise<OpenedBroker>;
}

export async function stage(t: TestContext, mode: string): Promise<Stage> {
  const directory = mkdtempSync(join(tmpdir(), "as-"));
  const platform = await loadPlatform();
  const socket = join(directory, "run", "b.sock");
  const start: BrokerStart = {
    endpoint: socket,
    file: process.execPath,
    args: [TINY_BROKER, mode, "serve", "--socket", socket],
    env: { MARK: "given" },
    logPath: join(directory, "log", "broker.log"),
  };
  const starts = (): ReturnType<Stage["starts"]> => {
    if (!existsSync(`${socket}.starts`)) return [];
    // A line that is being written at this moment is none yet.
    const lines = readFileSync(`${socket}.starts`, "utf8").split("\n").slice(0, -1);
    return lines.map((line) => ({ pid: Number.parseInt(line, 10), ...JSON.parse(line.slice(line.indexOf(" "))) }));
  };
  // Hooks run in the order they were added, and the list of what to end is in the directory.
  t.after(async () => {
    for (const { pid } of starts()) {
      const handle = platform.processes.open(pid);
      handle?.kill();
      handle?.close();
      await ended(platform, pid);
    }
    rmSync(directory, { recursive: true });
  });
  const open: Stage["open"] = async (options = {}) => {
    const box = createTimeBox(platform.clock, options.timeoutMs ?? 20_000, options.signal);
    const opened = await startBroker(platform, start, box);
    t.after(() => opened.connection.close());
    return opened;
  };
  return { platform, start, socket, starts, open };
}

/** Resolves when the process has ended. Waiting for an exit does not keep a process alive by itself. */
export async function ended(platform: Platform, pid: number): Promise<void> {
  const handle = platform.processes.open(pid);
  if (handle === undefined) return;
  const awake = setInterval(() => {}, 1000);
  await new Promise<void>((resolve) => handle.onExit(resolve));
  clearInterval(awake);
  handle.close();
}
