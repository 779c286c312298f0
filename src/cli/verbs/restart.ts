/** `rpb restart`: has a new process take a broker's place, and reports when it has. */

import type { Command } from "commander";
import { BrokerError, type BrokerErrorCode, ERROR_TABLE, hasCode } from "../../base/errors.ts";
import { jsonLine } from "../../base/printable.ts";
import { AdminVerb } from "../../wire/messages.ts";
import { askBroker, requestUnknown } from "../ask/ask-broker.ts";
import { listBrokers } from "../ask/list-brokers.ts";
import { PERMISSIONS } from "../ask/permissions.ts";
import { addAllOption, addSelectorOptions, type BrokerSelector, selectBroker } from "../ask/select-broker.ts";
import type { CliContext } from "../shell/context.ts";
import { reportFailure } from "../shell/exit.ts";
import { parseDuration } from "../shell/option-parsers.ts";
import { isObject, parseObject, textOf } from "../text/json.ts";

interface RestartFlags extends BrokerSelector {
  readonly all?: boolean;
  readonly timeout: number;
  readonly json?: boolean;
}

const DEFAULT_TIMEOUT = "60s";
/** On top, for the answer. */
const GRACE_MS = 5_000;

const HELP = `
A new process with the same arguments takes over the listening socket, the running backends and their control channels
from one broker (that of RUNNING_PROCESS_BROKER_V1_SOCKET, else the shared one), or with --all from every broker of
this user. No client is refused and no backend ends. Use it after an update of this package: the new process runs what is
installed now. When that cannot serve, the old process goes on as if nothing had been. SIGHUP does the same.

It waits for launches that are in progress. Under a service manager that watches the process, restart the service instead:
backends outlive that, too.
Exit 0: all were restarted; 69: no broker to restart; 70: the new process failed; 76: a broker of another version or make;
124: time was up.

Examples:
  rpb restart
  rpb restart --all --json`;

export function register(program: Command, context: CliContext): void {
  addAllOption(addSelectorOptions(program.command("restart").description("Have a new process take a broker's place.")))
    .option("--timeout <duration>", "how long it may take", parseDuration, parseDuration(DEFAULT_TIMEOUT))
    .option("--json", "JSON for programs")
    .addHelpText("after", HELP)
    .action((flags: RestartFlags) => context.run(() => restart(context, flags), flags));
}

/** As the broker says it: what another version leaves out or says otherwise is no fault. */
interface Restarted {
  readonly endpoint: string;
  readonly broker_pid: unknown;
  readonly version: unknown;
  readonly backends: unknown;
  readonly duration_ms: unknown;
  readonly switch_ms: unknown;
}

async function restart(context: CliContext, flags: RestartFlags): Promise<number> {
  if (!flags.all) {
    report(context, await restartOne(context, await selectBroker(context, flags), flags), flags);
    return 0;
  }
  const endpoints = await listBrokers(context);
  if (endpoints.length === 0 && !flags.json) context.io.out("not running: no broker of this user");
  let code = 0;
  // One after the other: a machine has better things to do than to start many processes at once.
  for (const endpoint of endpoints) {
    try {
      report(context, await restartOne(context, endpoint, flags), flags);
    } catch (error) {
      // A socket that a dead broker left.
      if (!hasCode(error, "BROKER_UNAVAILABLE")) code = reportFailure(context.io, error, flags);
    }
  }
  return code;
}

function report(context: CliContext, restarted: Restarted, { json }: RestartFlags): void {
  if (json) return context.io.out(jsonLine(restarted));
  const { endpoint, broker_pid, version, backends, duration_ms, switch_ms } = restarted;
  context.io.out(
    `restarted broker: now pid ${textOf(broker_pid)}, version ${textOf(version)}, with ${textOf(backends)} backends, in ${textOf(duration_ms)} ms (clients waited ${textOf(switch_ms)} ms at most): ${endpoint}`,
  );
}

async function restartOne(context: CliContext, endpoint: string, { timeout }: RestartFlags): Promise<Restarted> {
  const answer = await askBroker(
    context,
    PERMISSIONS.restart,
    endpoint,
    { verb: AdminVerb.RESTART, json: true, timeoutMs: Math.max(1, timeout) },
    { timeoutMs: timeout + GRACE_MS },
  );
  // The answer of a broker that does not know the verb is plain text.
  const body = answer.kind === "json" ? parseObject(answer.body) : undefined;
  if (body === undefined)
    throw requestUnknown(endpoint, answer, {
      cannot: "be restarted by this command",
      cure: "stop it with `rpb stop`, clients start a new one. One of this package restarts on SIGHUP, too",
    });
  if (body.error !== undefined) {
    const { code, reason } = isObject(body.error) ? body.error : {};
    throw new BrokerError(knownCode(code), typeof reason === "string" ? reason : "the broker does not say why", {
      details: { path: endpoint },
    });
  }
  const { broker_pid, version, backends, duration_ms, switch_ms } = body;
  return { endpoint, broker_pid, version, backends, duration_ms, switch_ms };
}

function knownCode(code: unknown): BrokerErrorCode {
  return typeof code === "string" && Object.hasOwn(ERROR_TABLE, code) ? (code as BrokerErrorCode) : "RESTART_FAILED";
}
