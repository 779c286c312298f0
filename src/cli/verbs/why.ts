/** `rpb why`: how a service came to its present state, from the record of events and the broker's status. */

import type { Command } from "commander";
import { BrokerError, hasCode } from "../../base/errors.ts";
import { jsonLine } from "../../base/printable.ts";
import { explainService, type LiveBroker, type VersionStory } from "../../model/explain-service.ts";
import { checkName, checkVersion } from "../../model/names.ts";
import { logDirectory } from "../../model/places.ts";
import { readLifecycleEvents } from "../../store/lifecycle-reader.ts";
import { AdminVerb } from "../../wire/messages.ts";
import { askBroker } from "../ask/ask-broker.ts";
import { openDefinitions } from "../ask/open-definitions.ts";
import { PERMISSIONS } from "../ask/permissions.ts";
import { selectBroker } from "../ask/select-broker.ts";
import type { CliContext } from "../shell/context.ts";
import { parseDuration, parseNonEmpty } from "../shell/option-parsers.ts";
import { timeText } from "../text/event-text.ts";
import { numberOf, parseObject, rowsOf, textOf } from "../text/json.ts";

interface WhyFlags {
  readonly version?: string;
  readonly socket?: string;
  readonly serviceDefDir?: string;
  readonly json?: boolean;
  readonly timeout?: number;
}

const HELP = `
For each version: what it is now, then what happened since the last launch began and what made that necessary.
Starts nothing; without a broker the record alone is told. The broker asked is that of --socket, else of
RUNNING_PROCESS_BROKER_V1_SOCKET, else the one that the definition names.

Examples:
  rpb why demo
  rpb why demo --version 1.2.0
  rpb why demo --json | jq -r '.versions[].chain[].sentence'`;

export function register(program: Command, context: CliContext): void {
  program
    .command("why")
    .description("Tell how a service came to its present state: the decisions that led there, with their reasons.")
    .argument("<service>", "name of the service")
    .option("--version <version>", "only this version", parseNonEmpty)
    .option("--socket <endpoint>", "the broker that listens there", parseNonEmpty)
    .option("--service-def-dir <directory>", "where service definitions are (default: the user's own)", parseNonEmpty)
    .option("--timeout <duration>", "how long to wait for the broker's answer (default: 30s)", parseDuration)
    .option("--json", "JSON for programs")
    .addHelpText("after", HELP)
    .action((service: string, flags: WhyFlags) => context.run(() => why(context, service, flags), flags));
}

async function why(context: CliContext, service: string, flags: WhyFlags): Promise<number> {
  checkName("service name", service);
  if (flags.version !== undefined) checkVersion("version", flags.version);
  const { files, processes } = await context.platform();
  const directory = logDirectory(context.places);
  const events = readLifecycleEvents(files, directory);
  const known = events.some((event) => event.service === service);
  // A service that nobody has defined is an error, unless there is something to tell of it.
  if (!known) (await openDefinitions(context, flags.serviceDefDir)).store.load(service);
  const broker = await lookAt(context, service, flags);
  const stories = explainService({
    service,
    ...(flags.version !== undefined && { version: flags.version }),
    events,
    broker,
    exists: (pid) => processes.inspect(pid) !== undefined,
  });
  if (flags.json) context.io.out(jsonLine(toJson(service, broker, stories)));
  else context.io.out(storyLines(service, broker, stories));
  return 0;
}

interface Seen extends LiveBroker {
  /** Undefined: nothing says where it would be. */
  readonly endpoint: string | undefined;
  readonly detail: string;
}

async function lookAt(context: CliContext, service: string, flags: WhyFlags): Promise<Seen> {
  const nobody = { pid: 0, backends: [], endpoint: undefined };
  let endpoint: string;
  try {
    endpoint = await selectBroker(context, { ...flags, service });
  } catch (error) {
    if (!hasCode(error, "DEFINITION_NOT_FOUND", "DEFINITION_MALFORMED", "DEFINITION_INVALID")) throw error;
    return { ...nobody, answer: "no-answer", detail: `which broker it has is not known: ${error.reason}` };
  }
  try {
    const answer = await askBroker(
      context,
      PERMISSIONS.why,
      endpoint,
      { verb: AdminVerb.STATUS, json: true },
      { ...(flags.timeout !== undefined && { timeoutMs: flags.timeout }) },
    );
    return { ...seenIn(answer.body, service), endpoint };
  } catch (error) {
    if (hasCode(error, "BROKER_UNAVAILABLE"))
      return { ...nobody, endpoint, answer: "not-running", detail: "its broker does not run" };
    if (error instanceof BrokerError) return { ...nobody, endpoint, answer: "no-answer", detail: error.reason };
    throw error;
  }
}

function seenIn(body: string, service: string): Omit<Seen, "endpoint"> {
  const status = parseObject(body);
  if (status === undefined)
    return {
      answer: "no-answer",
      pid: 0,
      backends: [],
      detail: "its broker answered something that is no JSON object",
    };
  const pid = numberOf(status.broker_pid);
  return {
    answer: "up",
    pid,
    detail: `its broker is ${textOf(status.broker_instance)} (pid ${pid})`,
    backends: rowsOf(status.backends)
      .filter((row) => row.service_name === service)
      .map((row) => ({
        version: textOf(row.service_version),
        pid: numberOf(row.pid),
        state: textOf(row.state),
      })),
  };
}

function storyLines(service: string, broker: Seen, stories: readonly VersionStory[]): string[] {
  const lines = stories.flatMap(({ sentence, chain }) => [
    sentence,
    ...chain.map((step) => `  ${timeText(step.tsMs)}  ${step.sentence}`),
    "",
  ]);
  if (lines.length === 0) lines.push(`nothing about ${service} is on record: no Hello for it has reached a broker`, "");
  return [...lines, broker.detail, ...(broker.endpoint === undefined ? [] : [`  ${broker.endpoint}`])];
}

function toJson(service: string, broker: Seen, stories: readonly VersionStory[]): object {
  return {
    service,
    broker: {
      state: broker.answer,
      ...(broker.endpoint !== undefined && { endpoint: broker.endpoint }),
      ...(broker.pid !== 0 && { pid: broker.pid }),
      sentence: broker.detail,
    },
    versions: stories.map(({ version, state, pid, sentence, chain }) => ({
      version,
      state,
      ...(pid !== 0 && { pid }),
      sentence,
      chain: chain.map((step) => ({
        ts_ms: step.tsMs,
        kind: step.event.kind,
        type: step.event.extra.type ?? "",
        ...(step.event.pid !== 0 && { pid: step.event.pid }),
        ...(step.event.extra.code !== undefined && { code: step.event.extra.code }),
        ...(step.event.extra.broker_pid !== undefined && { broker_pid: Number(step.event.extra.broker_pid) }),
        count: step.count,
        sentence: step.sentence,
      })),
    })),
  };
}
