/** Which broker a verb talks to, from its options and the environment. Looks names up; starts nothing. */
import { type Command, Option } from "commander";
import { brokerName, type Instance, parseInstanceId } from "../../model/names.ts";
import { endpointPath, givenEndpoint } from "../../model/places.ts";
import { instanceOf } from "../../model/service-definition.ts";
import type { CliContext } from "../shell/context.ts";
import { parseInstance, parseNonEmpty } from "../shell/option-parsers.ts";
import { openDefinitions } from "./open-definitions.ts";

export interface BrokerSelector {
  readonly socket?: string;
  readonly instance?: string;
  readonly service?: string;
  readonly serviceDefDir?: string;
}

/** The selecting options, with the same words at each verb. */
export function addSelectorOptions(command: Command): Command {
  return command
    .addOption(
      new Option("--socket <endpoint>", "the broker that listens there")
        .argParser(parseNonEmpty)
        .conflicts(["instance", "service"]),
    )
    .addOption(
      new Option("--instance <id>", "the broker of this instance: shared, private:SERVICE or explicit:NAME")
        .argParser(parseInstance)
        .conflicts(["service"]),
    )
    .option("--service <name>", "the broker that serves this service", parseNonEmpty)
    .option("--service-def-dir <directory>", "where service definitions are (default: the user's own)", parseNonEmpty);
}

/** For verbs that can be told to do it with all. */
export function addAllOption(command: Command): Command {
  return command.addOption(
    new Option("--all", "all brokers of this user").conflicts(["socket", "instance", "service"]),
  );
}

/** Has the user named one broker, by option or environment? */
export function namesOneBroker(context: CliContext, selector: BrokerSelector): boolean {
  return (
    selector.socket !== undefined ||
    selector.instance !== undefined ||
    selector.service !== undefined ||
    socketFromEnv(context) !== undefined
  );
}

/**
 * `--socket` and `--instance` as given; then RUNNING_PROCESS_BROKER_V1_SOCKET; then the broker that the definition of
 * `--service` names; then the shared one.
 *
 * @throws BrokerError DEFINITION_NOT_FOUND and others of the definition, PATH_TOO_LONG, ENDPOINT_INVALID, NAME_INVALID, IO_FAILED
 */
export async function selectBroker(context: CliContext, selector: BrokerSelector): Promise<string> {
  const { os } = context.places;
  if (selector.socket !== undefined) return givenEndpoint(os, selector.socket, "--socket");
  if (selector.instance !== undefined) return instanceEndpoint(context, parseInstanceId(selector.instance));
  const fromEnv = socketFromEnv(context);
  if (fromEnv !== undefined) return givenEndpoint(os, fromEnv, "RUNNING_PROCESS_BROKER_V1_SOCKET");
  if (selector.service === undefined) return instanceEndpoint(context, { kind: "shared" });
  const { store } = await openDefinitions(context, selector.serviceDefDir);
  return instanceEndpoint(context, instanceOf(store.load(selector.service)));
}

/** Where the broker of an instance listens. @throws BrokerError ENDPOINT_INVALID, NAME_INVALID, IO_FAILED */
export async function instanceEndpoint(context: CliContext, instance: Instance): Promise<string> {
  const { host } = await context.platform();
  return endpointPath(context.places, brokerName(host.userHash(), instance));
}

function socketFromEnv(context: CliContext): string | undefined {
  return context.io.env.RUNNING_PROCESS_BROKER_V1_SOCKET || undefined;
}
