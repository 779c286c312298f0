/** `rpb logs`: what backends of a service wrote to their standard output and error. Needs no broker. */
import type { Command } from "commander";
import { checkName, isVersion } from "../../model/names.ts";
import { logDirectory } from "../../model/places.ts";
import type { Files } from "../../platform/ports/index.ts";
import { followCopied } from "../../store/log-follower.ts";
import { openDefinitions } from "../ask/open-definitions.ts";
import type { CliContext } from "../shell/context.ts";
import { follow } from "../shell/follow.ts";
import { parseCount, parseNonEmpty } from "../shell/option-parsers.ts";

interface LogsFlags {
  readonly follow?: boolean;
  readonly version?: string;
  readonly lines?: number;
  readonly serviceDefDir?: string;
}

const HELP = `
All launches of a version write to one file, the older half of which is in a second one; both are shown, oldest
first. Without --version it is the version whose log was written to last. Starts nothing and needs no broker. In a
terminal, what would steer it is shown as "?".

Examples:
  rpb logs demo
  rpb logs demo --version 1.2.0 --lines 50
  rpb logs demo -f`;

export function register(program: Command, context: CliContext): void {
  program
    .command("logs")
    .description("Show what the backends of a service wrote to stdout and stderr.")
    .argument("<service>", "name of the service")
    .option("-f, --follow", "go on showing what comes in, through rotation and new launches of this version")
    .option("--version <version>", "of this version (default: written to last)", parseNonEmpty)
    .option("--lines <n>", "only the last n lines of what is there (default: all)", parseCount)
    .option("--service-def-dir <directory>", "where service definitions are (default: the user's own)", parseNonEmpty)
    .addHelpText("after", HELP)
    .action((service: string, flags: LogsFlags) => context.run(() => logs(context, service, flags)));
}

async function logs(context: CliContext, service: string, flags: LogsFlags): Promise<number> {
  checkName("service name", service);
  const { files } = await context.platform();
  const { io } = context;
  const directory = logDirectory(context.places);
  const found = versionsWithLog(files, directory, service);
  const version = flags.version ?? found[0];
  if (version === undefined || !found.includes(version)) {
    // A service that nobody has defined is an error, one that nobody has used yet is not.
    if (found.length === 0) (await openDefinitions(context, flags.serviceDefDir)).store.load(service);
    const what = flags.version === undefined ? service : `${service} ${flags.version}`;
    io.err(`${what} has no log in ${directory}${found.length === 0 ? "" : `; there are ${found.join(", ")}`}`);
    if (!flags.follow || version === undefined) return 0;
  } else if (flags.version === undefined && found.length > 1)
    io.err(`log of ${service} ${version}; for others add --version (${found.slice(1).join(", ")})`);
  await show(context, files.paths.join(directory, `${service}-${version}.log`), flags);
  return 0;
}

async function show(context: CliContext, path: string, flags: LogsFlags): Promise<void> {
  const { files } = await context.platform();
  const follower = followCopied(files, path);
  const decoder = new TextDecoder();
  const print = (text: string): void => {
    if (text !== "") context.io.document(text);
  };
  try {
    const text = decoder.decode(follower.read(), { stream: true });
    print(flags.lines === undefined ? text : lastLines(text, flags.lines));
    if (!flags.follow) return;
    await follow(context, files.paths.dirname(path), () => print(decoder.decode(follower.read(), { stream: true })));
  } finally {
    follower.close();
  }
}

/** Versions of which there is a log, the one written to last in front. */
export function versionsWithLog(files: Files, directory: string, service: string): string[] {
  const prefix = `${service}-`;
  return files
    .list(directory)
    .filter((name) => name.startsWith(prefix) && name.endsWith(".log"))
    .map((name) => name.slice(prefix.length, -".log".length))
    .filter(isVersion)
    .map((version) => ({
      version,
      writtenNs: files.facts(files.paths.join(directory, `${prefix}${version}.log`))?.mtimeNs ?? 0n,
    }))
    .sort((a, b) => (a.writtenNs < b.writtenNs ? 1 : a.writtenNs > b.writtenNs ? -1 : 0))
    .map(({ version }) => version);
}

export function lastLines(text: string, count: number): string {
  if (count === 0) return "";
  const end = text.endsWith("\n") ? "\n" : "";
  return (
    text
      .slice(0, text.length - end.length)
      .split("\n")
      .slice(-count)
      .join("\n") + end
  );
}
