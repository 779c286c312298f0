/** `rpb stop`: asks a broker to end, and reports when its process has. */

import type { Command } from "commander";
import { Deadline, sleep } from "../../base/clock.ts";
import { BrokerError, hasCode } from "../../base/errors.ts";
import { jsonLine } from "../../base/printable.ts";
import type { AdminAnswer } from "../../exchange/admin-client.ts";
import type { Platform, ProcessHandle } from "../../platform/ports/index.ts";
import { AdminVerb } from "../../wire/messages.ts";
import { askBroker } from "../ask/ask-broker.ts";
import { listBrokers } from "../ask/list-brokers.ts";
import { PERMISSIONS } from "../ask/permissions.ts";
import { addAllOption, addSelectorOptions, type BrokerSelector, selectBroker } from "../ask/select-broker.ts";
import type { CliContext } from "../shell/context.ts";
import { reportFailure } from "../shell/exit.ts";
import { parseDuration } from "../shell/option-parsers.ts";
import { parseObject } from "../text/json.ts";

interface StopOptions extends BrokerSelector {
  readonly all?: boolean;
  readonly withBackends?: boolean;
  readonly timeout: number;
  readonly json?: boolean;
}

const DEFAULT_DRAIN = "10s";
/** What a broker gets beyond its drain time before it counts as stuck: backends are stopped after the drain. */
const GRACE_MS = 20_000;
const POLL_MS = 20;

const HELP = `
Ends one broker (that of RUNNING_PROCESS_BROKER_V1_SOCKET, else the shared one) or with --all every broker of this
user: it takes no new work, lets work in flight end, and removes its socket. Backends keep running and keep their
connections, unless --with-backends is given. Prints what ended, or "not running"; exit 0 in both cases. Exit 76: a
broker of another version or make cannot be asked to end, or has ended without the backends that were to end with it.

Examples:
  rpb stop
  rpb stop --service demo --with-backends
  rpb stop --all --with-backends`;

export function register(program: Command, context: CliContext): void {
  addAllOption(addSelectorOptions(program.command("stop").description("End a broker, and on demand what it launched.")))
    .option("--with-backends", "also stop the backends it launched")
    .option("--timeout <duration>", "how long work in flight may go on", parseDuration, parseDuration(DEFAULT_DRAIN))
    .option("--json", "JSON for programs")
    .addHelpText("after", HELP)
    .action((options: StopOptions) => context.run(() => stop(context, options), options));
}

type Outcome = { readonly endpoint: string; readonly stopped: boolean; readonly pid?: number };

async function stop(context: CliContext, options: StopOptions): Promise<number> {
  if (!options.all) {
    report(context, await stopOne(context, await selectBroker(context, options), options), options);
    return 0;
  }
  const endpoints = await listBrokers(context);
  if (endpoints.length === 0 && !options.json) context.io.out("not running: no broker of this user");
  const results = await Promise.allSettled(endpoints.map((endpoint) => stopOne(context, endpoint, options)));
  return results.reduce((code, result) => {
    if (result.status === "rejected") return reportFailure(context.io, result.reason, options);
    report(context, result.value, options);
    return code;
  }, 0);
}

function report(context: CliContext, { endpoint, stopped, pid }: Outcome, options: StopOptions): void {
  if (options.json) context.io.out(jsonLine({ endpoint, stopped, ...(pid !== undefined && { pid }) }));
  else
    context.io.out(
      stopped
        ? `stopped broker${pid === undefined ? "" : ` (pid ${pid})`}${options.withBackends ? " and its backends" : ""}: ${endpoint}`
        : `not running: ${endpoint}`,
    );
}

async function stopOne(context: CliContext, endpoint: string, options: StopOptions): Promise<Outcome> {
  const platform = await context.platform();
  const deadline = Deadline.after(platform.clock, options.timeout + GRACE_MS);
  const process = await processBehind(context, endpoint);
  try {
    const answer = await askBroker(context, PERMISSIONS.stop, endpoint, {
      verb: AdminVerb.SHUTDOWN,
      drainDeadlineMs: options.timeout,
      withBackends: options.withBackends === true,
    });
    checkAccepted(answer, endpoint);
    await ended(platform, { endpoint, process, deadline });
    if (options.withBackends && !answer.withBackends) throw backendsLeft(endpoint);
    return { endpoint, stopped: true, ...(process !== undefined && { pid: process.pid }) };
  } catch (error) {
    if (hasCode(error, "BROKER_UNAVAILABLE")) return { endpoint, stopped: false };
    throw error;
  } finally {
    process?.close();
  }
}

/**
 * The broker's process, held so that its number cannot come to mean another one. By its own word in STATUS: the kernel
 * only knows who bound the socket, which for an inherited one is somebody else.
 */
async function processBehind(context: CliContext, endpoint: string): Promise<ProcessHandle | undefined> {
  const { processes } = await context.platform();
  try {
    const answer = await askBroker(
      context,
      PERMISSIONS.stop,
      endpoint,
      { verb: AdminVerb.STATUS, json: true },
      { holdPeer: true },
    );
    const pid = parseObject(answer.body)?.broker_pid;
    if (answer.peer !== undefined && answer.peer.pid === pid) return answer.peer;
    answer.peer?.close();
    return typeof pid === "number" ? processes.open(pid) : undefined;
  } catch (error) {
    // Without its process the end of the broker is seen by its socket.
    if (hasCode(error, "BROKER_UNAVAILABLE", "CONNECTION_CLOSED")) return undefined;
    throw error;
  }
}

function checkAccepted(answer: AdminAnswer, endpoint: string): void {
  if (answer.exitCode === 0) return;
  throw new BrokerError(
    "VERSION_UNSUPPORTED",
    `the broker on ${endpoint} cannot be asked to end (${answer.body.trim()}); send SIGTERM to process ${answer.peerPid} instead`,
    { details: { path: endpoint, pid: answer.peerPid } },
  );
}

/** The broker has skipped the field it was asked by: the number of an earlier version of this package differs. */
function backendsLeft(endpoint: string): BrokerError {
  return new BrokerError(
    "VERSION_UNSUPPORTED",
    `the broker on ${endpoint} has ended, but not its backends: it is of another version or make and does not know --with-backends; a broker of this version takes over those of an earlier one: start it with \`rpb serve\`, and stop it with its backends`,
    { details: { path: endpoint } },
  );
}

async function ended(
  platform: Platform,
  { endpoint, process, deadline }: { endpoint: string; process: ProcessHandle | undefined; deadline: Deadline },
): Promise<void> {
  if (process === undefined) return unbound(platform, endpoint, deadline);
  await new Promise<void>((resolve, reject) => {
    const timer = deadline.arm(() => reject(stuck(endpoint, process.pid)));
    process.onExit(() => {
      timer.cancel();
      resolve();
    });
  });
}

async function unbound(platform: Platform, endpoint: string, deadline: Deadline): Promise<void> {
  while (platform.transport.isBound(endpoint)) {
    if (deadline.passed()) throw stuck(endpoint);
    await sleep(platform.clock, POLL_MS);
  }
}

function stuck(endpoint: string, pid?: number): BrokerError {
  return new BrokerError("DEADLINE_EXCEEDED", `the broker on ${endpoint} agreed to end but still runs`, {
    details: { path: endpoint, ...(pid !== undefined && { pid }) },
  });
}
