/**
 * Argument rules of the reference's command line (spec: admin §4), which no parser library has: options are
 * `--name value` pairs found anywhere, the first match wins, a value may look like an option, unknown options are
 * ignored. Pure.
 */

/** A usage error: its text for stderr; the exit code is 2. */
export class CompatUsageError extends Error {
  constructor(
    message: string,
    /** Does the usage text follow? */
    readonly withUsage: boolean = false,
  ) {
    super(message);
    this.name = "CompatUsageError";
  }
}

/** Arguments without the global option, and the endpoint that it or the environment names. */
export interface CompatArgs {
  readonly words: readonly string[];
  readonly endpoint: string | undefined;
}

const SOCKET = "--socket";
const SOCKET_ENV = "RUNNING_PROCESS_BROKER_V1_SOCKET";

/** Takes `--socket ENDPOINT` out, wherever it stands. @throws CompatUsageError */
export function takeSocket(args: readonly string[], env: Readonly<Record<string, string | undefined>>): CompatArgs {
  const words: string[] = [];
  let endpoint: string | undefined;
  for (let i = 0; i < args.length; i++) {
    const word = args[i] as string;
    if (word !== SOCKET) {
      words.push(word);
      continue;
    }
    i++;
    const value = args[i];
    if (value === undefined) throw new CompatUsageError("--socket requires a socket path or pipe name");
    if (value === "") throw new CompatUsageError("--socket requires a non-empty socket path or pipe name");
    if (endpoint !== undefined) throw new CompatUsageError("--socket may only be provided once");
    endpoint = value;
  }
  return { words, endpoint: endpoint ?? (env[SOCKET_ENV] || undefined) };
}

/** The value behind the first `name`; undefined when there is none, or nothing behind it. */
export function option(words: readonly string[], name: string): string | undefined {
  const at = words.indexOf(name);
  return at < 0 ? undefined : words[at + 1];
}

/** The values behind every `name`. */
export function options(words: readonly string[], name: string): string[] {
  return words.flatMap((word, at) => (word === name && words[at + 1] !== undefined ? [words[at + 1] as string] : []));
}

/** @throws CompatUsageError "… is required for …" */
export function required(words: readonly string[], name: string, purpose: string): string {
  const value = option(words, name);
  if (value === undefined) throw new CompatUsageError(`${name} is required for ${purpose}`);
  return value;
}

/** @throws CompatUsageError */
export function maxConnections(words: readonly string[]): number | undefined {
  const text = option(words, "--max-connections");
  if (text === undefined) return undefined;
  const count = /^\+?\d{1,15}$/.test(text) ? Number(text) : 0;
  if (count < 1)
    throw new CompatUsageError(`--max-connections must be a number greater than zero, got ${JSON.stringify(text)}`);
  return count;
}
