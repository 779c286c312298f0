/** The admin commands of the compat binary: asked of a live broker, or answered by a snapshot of no broker at all. */
import { posix } from "node:path";
import { Deadline } from "../base/clock.ts";
import { isBrokerError } from "../base/errors.ts";
import { type BrokerSnapshot, renderStatusJson, renderStatusText } from "../broker/status.ts";
import { type AdminQuery, adminRequest, adminTimeoutMs } from "../exchange/admin-client.ts";
import { manifestDirectory } from "../model/places.ts";
import type { Files } from "../platform/ports.ts";
import { AdminVerb } from "../wire/messages.ts";
import { CompatUsageError, option } from "./compat-args.ts";
import type { CliContext } from "./context.ts";

type Words = readonly string[];

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
  diagnose: (words) => ({ verb: AdminVerb.DIAGNOSE, outputPath: option(words, "--output") ?? "bundle.tar.gz" }),
} as const satisfies Record<string, (words: Words) => AdminQuery>;

type AdminCommand = keyof typeof QUERIES;

export const ADMIN_COMMANDS = Object.keys(QUERIES) as readonly AdminCommand[];

/** @throws CompatUsageError */
export async function runAdminCommand(
  context: CliContext,
  { words, endpoint }: { words: Words; endpoint: string | undefined },
): Promise<number> {
  const command = words[0] as AdminCommand;
  return endpoint === undefined
    ? localAnswer(context, command, words)
    : liveAnswer(context, QUERIES[command](words), endpoint);
}

async function liveAnswer(context: CliContext, query: AdminQuery, endpoint: string): Promise<number> {
  const platform = await context.platform();
  try {
    const answer = await adminRequest(platform, endpoint, query, {
      deadline: Deadline.after(platform.clock, adminTimeoutMs(context.io.env)),
    });
    print(context, answer.body);
    return answer.exitCode;
  } catch (error) {
    if (!isBrokerError(error)) throw error;
    context.io.err(`admin request to ${JSON.stringify(endpoint)} failed: ${error.reason}\n`);
    return 1;
  }
}

async function localAnswer(context: CliContext, command: AdminCommand, words: Words): Promise<number> {
  switch (command) {
    case "status": {
      const snapshot = await localSnapshot(context);
      print(
        context,
        words.includes("--json") ? JSON.stringify(renderStatusJson(snapshot)) : renderStatusText(snapshot),
      );
      return 0;
    }
    case "healthz":
      print(context, "ok");
      return 0;
    case "readyz":
      print(context, "not ready");
      return 1;
    default:
      throw new CompatUsageError(
        `${command} needs a live broker: name it with --socket <endpoint> or RUNNING_PROCESS_BROKER_V1_SOCKET`,
      );
  }
}

/** What there is to say without a broker (spec: admin §4): instance `local`, not accepting, nothing running. */
async function localSnapshot(context: CliContext): Promise<BrokerSnapshot> {
  const { clock, files, host, processes } = await context.platform();
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
    inodes: host.inodeUsage(existingPart(files, manifestDirectory(context.places))),
    backends: [],
    draining: [],
    crashes: [],
  };
}

/** Inodes are counted per file system: before the data directory is made, its nearest parent says the same. */
function existingPart(files: Files, directory: string): string {
  let path = directory;
  while (path !== posix.dirname(path) && files.facts(path) === undefined) path = posix.dirname(path);
  return path;
}

function print(context: CliContext, body: string): void {
  context.io.out(body.endsWith("\n") ? body : `${body}\n`);
}
