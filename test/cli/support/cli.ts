/** Runs command lines of `rpb` and of the compat binary inside the test's process, on the real system. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { runCompat } from "../../../src/cli/compat/program.ts";
import { runProgram } from "../../../src/cli/program.ts";
import { createOutput } from "../../../src/cli/shell/output.ts";
import type { ProcessIo } from "../../../src/cli/shell/process-io.ts";
import type { Env } from "../../../src/platform/ports/index.ts";
import { createFakeProcessIo } from "../../support/fake-process-io.mjs";

export interface CliResult {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export interface More {
  readonly input?: string;
  readonly env?: Env;
  /** Both streams are one. Default false. */
  readonly terminal?: boolean;
}

export interface Cli {
  readonly root: string;
  readonly env: Env;
  rpb(args: readonly string[], more?: More): Promise<CliResult>;
  compat(args: readonly string[], more?: More): Promise<CliResult>;
}

/** Everything lies below a directory that goes with the test; short, because socket paths below it must fit into 107 bytes. */
export function createCli(t: TestContext): Cli {
  const root = mkdtempSync(`${tmpdir()}/`);
  t.after(() => rmSync(root, { recursive: true }));
  mkdirSync(join(root, "config"), { mode: 0o700 });
  const env: Env = {
    HOME: root,
    XDG_RUNTIME_DIR: root,
    XDG_CONFIG_HOME: join(root, "config"),
    XDG_STATE_HOME: join(root, "state"),
    RUNNING_PROCESS_BROKER_ALLOW_PRIVILEGED: "1",
  };
  const run =
    (program: (io: ProcessIo) => Promise<number>) =>
    async (args: readonly string[], { env: added, ...more }: More = {}): Promise<CliResult> => {
      const { io, written } = createFakeProcessIo({
        createOutput,
        args,
        env: { ...env, ...added },
        cwd: () => root,
        ...more,
      });
      const code = await program(io);
      return { code, ...written };
    };
  return { root, env, rpb: run(runProgram), compat: run(runCompat) };
}
