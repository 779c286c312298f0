/** The admin commands of the compat binary: asked of a live broker, or answered by a snapshot of no broker at all. */
import { isBrokerError } from "../../base/errors.ts";
import {
  type AdminSources,
  answerAdmin,
  type BrokerSnapshot,
  createBrokerMetrics,
  diagnose,
} from "../../broker/internal.ts";
import type { AdminQuery } from "../../exchange/admin-client.ts";
import { definitionDirectory, manifestDirectory, type PlaceInputs } from "../../model/places.ts";
import type { Files, Platform } from "../../platform/ports/index.ts";
import { AdminVerb } from "../../wire/messages.ts";
import { askAt } from "../ask/ask-broker.ts";
import type { CliContext } from "../shell/context.ts";
import { absolutePath } from "../shell/option-parsers.ts";
import { option } from "./args.ts";

type Words = readonly string[];

const DEFAULT_OUTPUT = "bundle.tar.gz";

const QUERIES = {
  status: (words) => ({ verb: AdminVerb.STATUS, json: words.includes("--json") }),
  healthz: () => ({ verb: AdminVerb.HEALTHZ }),
  readyz: () => ({ verb: AdminVerb.READYZ }),
  dump: () => ({ verb: AdminVerb.DUMP }),
  "list-instances": () => ({ verb: AdminVerb.LIST_INSTANCES }),
  config: () => ({ verb: AdminVerb.CONFIG }),
  metrics: () => ({ verb: AdminVerb.METRICS }),
  "backend-health": (words) => ({
    verb: AdminVerb.BACKEND_HEALTH,
    serviceName: words.slice(1).find((word) => !word.startsWith("-")) ?? "unknown",
  }),
  // The broker's working directory is not the caller's.
  diagnose: (words, cwd) => ({
    verb: AdminVerb.DIAGNOSE,
    outputPath: absolutePath(option(words, "--output") || DEFAULT_OUTPUT, cwd()),
  }),
} as const satisfies Record<string, (words: Words, cwd: () => string) => AdminQuery>;

type AdminCommand = keyof typeof QUERIES;

export const ADMIN_COMMANDS = Object.keys(QUERIES) as readonly AdminCommand[];

/** Asks the broker at `endpoint`, or says what there is to say without one. Returns the exit code. */
export async function runAdminCommand(
  context: CliContext,
  { words, endpoint }: { words: Words; endpoint: string | undefined },
): Promise<number> {
  const query = QUERIES[words[0] as AdminCommand](words, () => context.io.cwd);
  return endpoint === undefined ? localAnswer(context, query) : liveAnswer(context, query, endpoint);
}

async function liveAnswer(context: CliContext, query: AdminQuery, endpoint: string): Promise<number> {
  try {
    const answer = await askAt(context, endpoint, query);
    print(context, answer.body);
    return answer.exitCode;
  } catch (error) {
    if (!isBrokerError(error)) throw error;
    context.io.err(`admin request to ${JSON.stringify(endpoint)} failed: ${error.reason}`);
    return 1;
  }
}

/** What there is to say without a broker (spec: admin §4): instance `local`, not accepting, nothing running. */
async function localAnswer(context: CliContext, query: AdminQuery): Promise<number> {
  const platform = await context.platform();
  const { places } = context;
  const sources: AdminSources = {
    snapshot: () => localSnapshot(platform, places),
    diagnose: (snapshot, outputPath) =>
      diagnose({ platform, places, env: places.env, directory: context.io.cwd }, snapshot, outputPath),
  };
  const { verb, json = false, serviceName = "", outputPath = "" } = query;
  const answer = await answerAdmin(sources, { verb, json, serviceName, outputPath });
  print(context, answer.body);
  return answer.exitCode;
}

function localSnapshot(platform: Platform, places: PlaceInputs): BrokerSnapshot {
  const { clock, files, host, processes } = platform;
  const { path, source } = definitionDirectory(places);
  return {
    nowUnixMs: clock.wallMs(),
    instance: "local",
    pid: processes.selfPid,
    endpoint: "",
    uptimeMs: 0,
    acceptingHello: false,
    shuttingDown: false,
    connectionsOpen: 0,
    launching: 0,
    fdDemoted: false,
    inodes: host.inodeUsage(existingPart(files, manifestDirectory(places))),
    backends: [],
    budgets: [],
    health: [],
    definitions: { directory: path, source },
    events: () => [],
    metrics: () =>
      createBrokerMetrics().families({
        backends: [],
        budgets: [],
        fullBudget: 0,
        connectionsOpen: 0,
        fdUsageRatio: 0,
        uptimeMs: 0,
      }),
    draining: [],
    crashes: [],
  };
}

/** Inodes are counted per file system: before the data directory is made, its nearest parent says the same. */
function existingPart(files: Files, directory: string): string {
  let path = directory;
  while (path !== files.paths.dirname(path) && files.facts(path) === undefined) path = files.paths.dirname(path);
  return path;
}

function print(context: CliContext, body: string): void {
  context.io.document(body.endsWith("\n") ? body : `${body}\n`);
}
