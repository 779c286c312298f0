/** `rpb service check`: everything a launch would check, without launching. */

import type { Command } from "commander";
import { ERROR_TABLE } from "../../../base/errors.ts";
import { jsonLine } from "../../../base/printable.ts";
import { checkVersion } from "../../../model/names.ts";
import { type ServiceDefinition, VERSION_PLACEHOLDER } from "../../../model/service-definition.ts";
import { openDefinitions } from "../../ask/open-definitions.ts";
import type { CliContext } from "../../shell/context.ts";
import { parseNonEmpty } from "../../shell/option-parsers.ts";
import { type Finding, findingsOf, versionsToCheck } from "./findings.ts";

interface CheckFlags {
  readonly version?: string;
  readonly json?: boolean;
  readonly serviceDefDir?: string;
}

const HELP = `
Looks at the definition and its directory, the version rules, the binary (resolved, inside its root, executable, its
interpreter), the working directory, the lengths of the socket paths, and labels. Launches nothing.
Exit 0 without errors (warnings are printed all the same), 78 with any.

Examples:
  rpb service check demo --version 1.2.0
  rpb service check demo                   every version that is installed`;

export function registerServiceCheck(service: Command, context: CliContext): void {
  service
    .command("check")
    .description("Would this service launch? Says what would fail; starts nothing.")
    .argument("<name>", "name of the service")
    .option(
      "--version <version>",
      "the version to check (default: those allowed by name, else those installed)",
      parseNonEmpty,
    )
    .option("--json", 'JSON for programs: {"name", "versions", "findings": [{"severity", "check", "text"}]}')
    .option("--service-def-dir <directory>", "where definitions are (default: the user's own)", parseNonEmpty)
    .addHelpText("after", HELP)
    .action((name: string, flags: CheckFlags) => context.run(() => check(context, name, flags), flags));
}

async function check(context: CliContext, name: string, flags: CheckFlags): Promise<number> {
  const { io, places } = context;
  if (flags.version !== undefined) checkVersion("version", flags.version);
  const { store } = await openDefinitions(context, flags.serviceDefDir);
  const definition = store.load(name);
  const { files, host } = await context.platform();
  const versions = flags.version === undefined ? versionsToCheck(files, definition) : [flags.version];
  const findings = findingsOf({ files, host, places }, definition, flags.version);
  if (flags.json) io.out(jsonLine({ name, versions, findings }));
  else io.out([...findings.map(line), summary(definition, versions, findings)]);
  return findings.some(({ severity }) => severity === "error") ? ERROR_TABLE.DEFINITION_INVALID.exit : 0;
}

function line({ severity, check, text }: Finding): string {
  return `${severity.padEnd("warning".length)}  ${check}: ${text}`;
}

function summary(definition: ServiceDefinition, versions: readonly string[], findings: readonly Finding[]): string {
  const name = definition.serviceName;
  const errors = findings.filter(({ severity }) => severity === "error").length;
  const versioned = definition.binaryPath.includes(VERSION_PLACEHOLDER);
  if (errors === 0 && versions.length === 0 && versioned) return `${name}: no version was looked at`;
  const looked = versions.length > 0 ? versions.join(", ") : versioned ? "no version" : "one binary for all versions";
  if (errors === 0) return `${name} would launch (looked at ${looked})`;
  return `${name} would not launch (looked at ${looked}): ${errors} error${errors === 1 ? "" : "s"}`;
}
