/** `rpb service add`: from flags or a TOML file to a definition file. */

import { type Command, Option } from "commander";
import { BrokerError, hasCode } from "../../../base/errors.ts";
import { jsonLine } from "../../../base/printable.ts";
import { defineService, type ServiceDraft } from "../../../model/define-service.ts";
import { definitionDifferences } from "../../../model/definition-differences.ts";
import type { ServiceDefinition } from "../../../model/service-definition.ts";
import { parseServiceToml } from "../../../model/service-toml.ts";
import type { DefinitionStore } from "../../../store/definition-store.ts";
import { MAX_DEFINITION_BYTES } from "../../../wire/limits.ts";
import { openDefinitions } from "../../ask/open-definitions.ts";
import type { CliContext } from "../../shell/context.ts";
import { absolutePath, collect, collectPairs, parseNonEmpty } from "../../shell/option-parsers.ts";
import { findingsOf } from "./findings.ts";
import { type AddFlags, draftOfFlags, usesDraftFlags } from "./flags.ts";

const HELP = `
Starts nothing. The binary may hold {version}, which the wanted version replaces, so that versions live side by side;
once links are resolved it must lie in --root (default: the directory in front of {version}, else the binary's own).
In --arg, {endpoint}, {version} and {service} are replaced. Readiness: "probe" asks the backend who it is, "listen"
is for daemons that take their socket by the LISTEN_FDS protocol, "connect" for those that bind {endpoint} themselves.

Examples:
  rpb service add demo --binary /opt/demo/{version}/bin/demod --min-version 1.2.0
  rpb service add fmt --binary /usr/bin/fmtd --arg=--stdio=no --ready listen --env RUST_LOG=warn
  rpb service add lint --binary /opt/lint/lintd --arg=--socket --arg={endpoint} --ready connect
  rpb service add -f demo.toml          (- reads the standard input)

demo.toml:
  name = "demo"
  binary = "/opt/demo/{version}/bin/demod"
  min_version = "1.2.0"

  [exec]
  args = ["--quiet"]
  ready_timeout = "30s"

  [exec.env]
  NODE_ENV = "production"`;

export function registerServiceAdd(service: Command, context: CliContext): void {
  service
    .command("add")
    .description("Add a service definition, or replace one with --force.")
    .argument("[name]", "name of the service: a-z, 0-9 and '-'")
    .option("-f, --file <toml>", "take everything from a TOML file", parseNonEmpty)
    .option("--binary <path>", "program to launch; {version} is replaced", parseNonEmpty)
    .option("--root <directory>", "directory the program must lie in", parseNonEmpty)
    .option("--isolation <kind>", "private (default), shared, or explicit:NAME: which broker serves it", parseNonEmpty)
    .option("--min-version <version>", "refuse older versions", parseNonEmpty)
    .option("--allow-version <version>", "serve only this version (repeatable)", collect)
    .option("--arg <text>", "argument of the program (repeatable; write --arg=--flag)", collect)
    .option("--env <NAME=value>", "environment variable of the program (repeatable)", collectPairs)
    .option("--cwd <directory>", "its working directory (default: /)", parseNonEmpty)
    .addOption(
      new Option("--bind <who>", "who binds the endpoint (default: broker; backend with --ready connect)").choices([
        "broker",
        "backend",
      ]),
    )
    .addOption(
      new Option("--ready <how>", "when it counts as ready (default: probe)").choices(["probe", "listen", "connect"]),
    )
    .option("--nonblocking", "sockets it is given have O_NONBLOCK set (default: they block)")
    .option("--ready-timeout <duration>", "from start to ready (default: 15s)", parseNonEmpty)
    .option("--stop-timeout <duration>", "from SIGTERM to SIGKILL (default: 10s)", parseNonEmpty)
    .option("--label <key=value>", "any label (repeatable)", collectPairs)
    .option("--force", "replace a definition that differs")
    .option("--service-def-dir <directory>", "where to write it (default: the user's own)", parseNonEmpty)
    .option("--json", "JSON for programs")
    .addHelpText("after", HELP)
    .action((name: string | undefined, flags: AddFlags) => context.run(() => add(context, name, flags), flags));
}

async function add(context: CliContext, name: string | undefined, flags: AddFlags): Promise<number> {
  const definition = defineService(
    flags.file === undefined ? draftOfFlags(name, flags, context.io.cwd) : await draftOfFile(context, name, flags),
  );
  const { store } = await openDefinitions(context, flags.serviceDefDir);
  const outcome = save(store, definition, flags.force === true);
  const path = store.pathOf(definition.serviceName);
  context.io.out(
    flags.json
      ? jsonLine({ name: definition.serviceName, path, outcome })
      : `${outcome} ${definition.serviceName}: ${path}`,
  );
  // A definition may be written before its binary is installed; what would fail is said, not refused.
  const { files, host } = await context.platform();
  for (const finding of findingsOf({ files, host, places: context.places }, definition))
    context.io.err(`note: ${finding.text}`);
  return 0;
}

async function draftOfFile(context: CliContext, name: string | undefined, flags: AddFlags): Promise<ServiceDraft> {
  if (usesDraftFlags(flags))
    throw new BrokerError("OPTION_INVALID", "with --file everything comes from the file; write the setting there");
  const draft = parseServiceToml(await readText(context, flags.file ?? "-"));
  if (name === undefined || name === draft.name) return draft;
  throw new BrokerError(
    "OPTION_INVALID",
    `the file defines ${JSON.stringify(draft.name)}, not ${JSON.stringify(name)}; leave the name out or correct one of them`,
  );
}

async function readText(context: CliContext, file: string): Promise<string> {
  if (file !== "-") {
    const path = absolutePath(file, context.io.cwd);
    const found = (await context.platform()).files.read(path, MAX_DEFINITION_BYTES);
    if (found === undefined) throw new BrokerError("OPTION_INVALID", `there is no file ${path}`, { details: { path } });
    return found.bytes.toString("utf8");
  }
  const chunks: Buffer[] = [];
  let total = 0;
  for await (const chunk of context.io.stdin) {
    chunks.push(Buffer.from(chunk));
    total += chunk.length;
    if (total > MAX_DEFINITION_BYTES)
      throw new BrokerError("OPTION_INVALID", `the standard input holds more than ${MAX_DEFINITION_BYTES} bytes`);
  }
  return Buffer.concat(chunks).toString("utf8");
}

type Outcome = "added" | "replaced" | "unchanged";

function save(store: DefinitionStore, definition: ServiceDefinition, force: boolean): Outcome {
  const existing = loadExisting(store, definition.serviceName, force);
  if (existing === "broken") {
    store.save(definition);
    return "replaced";
  }
  const differences = existing === undefined ? [] : definitionDifferences(existing, definition);
  if (existing !== undefined && differences.length === 0) return "unchanged";
  if (existing !== undefined && !force) {
    const list = differences.map(({ field, from, to }) => `${field}: ${from} -> ${to}`).join("; ");
    throw new BrokerError(
      "OPTION_INVALID",
      `service ${definition.serviceName} is defined already and differs (${list}); replace it with --force`,
      { details: { path: store.pathOf(definition.serviceName) } },
    );
  }
  store.save(definition);
  return existing === undefined ? "added" : "replaced";
}

/** A file that cannot be read as a definition is no reason to refuse a forced replacement. */
function loadExisting(store: DefinitionStore, name: string, force: boolean): ServiceDefinition | "broken" | undefined {
  try {
    return store.load(name);
  } catch (error) {
    if (hasCode(error, "DEFINITION_NOT_FOUND")) return undefined;
    if (force && hasCode(error, "DEFINITION_MALFORMED", "DEFINITION_INVALID", "VERSION_INVALID", "NAME_INVALID"))
      return "broken";
    throw error;
  }
}
