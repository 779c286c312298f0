/** A broker whose script can be replaced, as an update would, and restarts of it. */
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { adminRequest } from "../../src/exchange/admin-client.ts";
import { AdminVerb } from "../../src/wire/messages.ts";
import { type Handing, handingIn } from "./handing.ts";
import { createWorld, type Finished, RPB } from "./world.ts";

export interface Restarting extends Handing {
  /** `rpb restart --json`. */
  restart(...args: string[]): Promise<Finished>;
  /** Replaces what the next process runs; `undefined`: the real one. */
  update(script: string | undefined): void;
  /** By its own word. */
  brokerPid(): Promise<number>;
  /** That of the asker included. */
  openConnections(): Promise<number>;
  stop(): Promise<Finished>;
  /** Resolves when the process that was started first has ended. */
  firstEnded(): Promise<void>;
}

/** `dies`: brokers are killed, and what they leave is no concern of the test. */
export async function createRestarting(
  t: TestContext,
  { args = [], dies = false, cwd }: { args?: readonly string[]; dies?: boolean; cwd?: (root: string) => string } = {},
): Promise<Restarting> {
  let stop = async (): Promise<Finished> => ({ code: 0, signal: null, stdout: "", stderr: "" });
  // Before the world's own hook: they run in the order of registration.
  t.after(() => stop());
  const world = await createWorld(t, { leavesProcesses: dies });
  const script = join(world.root, "rpb.mjs");
  const update = (text = `await import(${JSON.stringify(RPB)});\n`): void => writeFileSync(script, text);
  update();
  const endpoint = join(world.runtime, "b.sock");
  const broker = await world.startBroker(["--socket", endpoint, "--hello-rate", "0", "--log-level", "debug", ...args], {
    script,
    ...(cwd !== undefined && { cwd: cwd(world.root) }),
  });
  const rpb = (...words: string[]): Promise<Finished> =>
    world.run(process.execPath, [RPB, ...words, "--socket", endpoint]);
  stop = () => rpb("stop", "--with-backends", "--timeout", "1s");
  const status = async (): Promise<{ broker_pid: number; connections_open: number }> => {
    const { body } = await adminRequest(world.platform, endpoint, { verb: AdminVerb.STATUS, json: true });
    return JSON.parse(body) as { broker_pid: number; connections_open: number };
  };
  return {
    ...handingIn(world, broker),
    restart: (...more) => rpb("restart", "--json", ...more),
    update,
    brokerPid: async () => (await status()).broker_pid,
    openConnections: async () => (await status()).connections_open,
    stop,
    async firstEnded() {
      if (broker.process.exitCode === null) await once(broker.process, "exit");
    },
  };
}
