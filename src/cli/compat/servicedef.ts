/** `servicedef install` of the compat binary (spec: admin §6). Writes no labels: what it installs runs as the reference would. */

import { isBrokerError } from "../../base/errors.ts";
import { jsonLine } from "../../base/printable.ts";
import { createServiceDefinition, type Isolation } from "../../model/service-definition.ts";
import { openDefinitions } from "../ask/open-definitions.ts";
import type { CliContext } from "../shell/context.ts";
import { CompatUsageError, option, options, required } from "./args.ts";

const ISOLATIONS: readonly string[] = ["private", "shared", "explicit"] satisfies Isolation[];

/** @throws CompatUsageError */
export async function installServiceDefinition(
  context: CliContext,
  args: { words: readonly string[] },
): Promise<number> {
  const [, subcommand, ...words] = args.words;
  if (subcommand !== "install")
    throw new CompatUsageError(
      subcommand === undefined
        ? "no servicedef command provided"
        : `unsupported servicedef command ${JSON.stringify(subcommand)}`,
      true,
    );
  const init = readOptions(words);
  try {
    const { store, source } = await openDefinitions(context, option(words, "--service-def-dir"));
    const definition = createServiceDefinition(init);
    const path = store.save(definition);
    const text = words.includes("--json")
      ? jsonLine({ service_name: definition.serviceName, path, dir: store.directory, dir_source: source })
      : `installed ${path} (service-definition dir source: ${source})`;
    context.io.out(text);
    return 0;
  } catch (error) {
    if (!isBrokerError(error)) throw error;
    context.io.err(`servicedef install failed: ${error.reason}`);
    return 1;
  }
}

function readOptions(words: readonly string[]): Parameters<typeof createServiceDefinition>[0] {
  const isolation = option(words, "--isolation") ?? "private";
  if (!ISOLATIONS.includes(isolation))
    throw new CompatUsageError(`--isolation must be private, shared or explicit, got ${JSON.stringify(isolation)}`);
  return {
    serviceName: required(words, "--service", "servicedef install"),
    binaryPath: required(words, "--binary-path", "servicedef install"),
    isolation: isolation as Isolation,
    explicitInstance: option(words, "--explicit-instance") ?? "",
    perVersionBinaryDir: option(words, "--per-version-binary-dir") ?? "",
    minVersion: option(words, "--min-version") ?? "",
    versionAllowList: options(words, "--allow-version"),
  };
}
