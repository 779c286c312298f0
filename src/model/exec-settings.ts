/**
 * How to run a backend: the settings that the frozen ServiceDefinition has no field for, kept in its labels. LABELS is
 * the list of known keys; docs/operations.md shows it and `rpb service check` warns about others that look like them.
 */
import { BrokerError } from "../base/errors.ts";

/** Who binds the backend's endpoint. */
export type BindMode = "broker" | "backend";
/**
 * When a launched backend counts as ready: it answers the identity probe; it runs and inherited its listener by the
 * LISTEN_FDS protocol; its endpoint accepts a connection.
 */
export type Readiness = "probe" | "listen" | "connect";

export interface ExecSettings {
  /** Arguments; `{endpoint}`, `{version}` and `{service}` in them are replaced. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Absolute; empty: the root directory, so that no mount or project is kept busy. */
  readonly cwd: string;
  readonly bind: BindMode;
  readonly ready: Readiness;
  /**
   * Descriptors that the backend is given (listener, control channel, clients' connections) have O_NONBLOCK set, like
   * systemd's NonBlocking=. Default false: they block, as accept(2) and read(2) do unless told otherwise.
   */
  readonly nonBlocking: boolean;
  /** From spawn to ready, like systemd's TimeoutStartSec. */
  readonly readyTimeoutMs: number;
  /** From SIGTERM to SIGKILL, like systemd's TimeoutStopSec. */
  readonly stopTimeoutMs: number;
  /** Size at which the backend's log is rotated; one older file is kept. */
  readonly logMaxBytes: number;
}

/** Whether and how often connections may be handed to the backend; clients that are not handed over reconnect. */
export interface HandoffSettings {
  readonly enabled: boolean;
  /** Socket of a backend that takes v1 handoffs; may hold `{endpoint}`. Undefined: the control channel, if it has one. */
  readonly endpoint: string | undefined;
  /** Undefined: no limit. */
  readonly maxAttemptsPerMinute: number | undefined;
  /** Stop while the broker is short of descriptors. */
  readonly disableUnderFdPressure: boolean;
}

export const DEFAULT_READY_TIMEOUT_MS = 15_000;
export const DEFAULT_STOP_TIMEOUT_MS = 10_000;
export const DEFAULT_LOG_MAX_BYTES = 1024 * 1024;
const MAX_TIMEOUT_MS = 10 * 60_000;

export interface LabelRow {
  readonly key: string;
  readonly value: string;
  readonly fallback: string;
  readonly about: string;
}

/** Keys ending in `.` stand for a family. */
export const LABELS: readonly LabelRow[] = [
  {
    key: "exec.args",
    value: "JSON array of strings",
    fallback: "[]",
    about: "arguments; {endpoint}, {version} and {service} are replaced",
  },
  { key: "exec.env.", value: "text", fallback: "", about: "exec.env.NAME sets the variable NAME" },
  { key: "exec.cwd", value: "absolute path", fallback: "/", about: "working directory" },
  {
    key: "exec.bind",
    value: "broker | backend",
    fallback: "backend (our tools write broker)",
    about: "who binds the endpoint",
  },
  {
    key: "exec.ready",
    value: "probe | listen | connect",
    fallback: "probe",
    about: "when the backend counts as ready",
  },
  {
    key: "exec.nonblocking",
    value: "true | false",
    fallback: "false",
    about: "are descriptors that the backend is given non-blocking (like systemd's NonBlocking=)",
  },
  { key: "exec.ready_timeout", value: "duration", fallback: "15s", about: "from start to ready" },
  { key: "exec.stop_timeout", value: "duration", fallback: "10s", about: "from SIGTERM to SIGKILL" },
  {
    key: "idle.timeout",
    value: "duration up to 7d, or never",
    fallback: "3h for SDK backends, never for others",
    about: "how long nobody uses the backend before it is asked to end",
  },
  { key: "log.max_bytes", value: "bytes", fallback: "1048576", about: "limit of the log, and of its older file" },
  {
    key: "handoff.enabled",
    value: "true | false",
    fallback: "true",
    about: "may connections be handed over at all",
  },
  {
    key: "handoff.endpoint",
    value: "absolute path, or {endpoint} and a suffix",
    fallback: "the control channel",
    about: "where a backend without the SDK takes v1 handoffs",
  },
  {
    key: "handoff.max_attempts_per_minute",
    value: "number from 1 to 10000",
    fallback: "",
    about: "handoffs tried per minute and backend; without it there is no limit",
  },
  {
    key: "handoff.disable_under_fd_pressure",
    value: "true | false",
    fallback: "true",
    about: "no handoffs while the broker is short of descriptors",
  },
];

/**
 * Reads the labels this version knows; unknown keys are ignored.
 *
 * @throws BrokerError DEFINITION_INVALID naming the label, what it holds and what it may hold.
 */
export function parseExecSettings(labels: Readonly<Record<string, string>>): ExecSettings {
  const bind = oneOf(labels, "exec.bind", ["backend", "broker"] as const);
  const ready = oneOf(labels, "exec.ready", ["probe", "listen", "connect"] as const);
  if (ready === "listen" && bind !== "broker")
    throw invalid("exec.ready", "listen", `"listen" only together with exec.bind = "broker"`);
  if (ready === "connect" && bind === "broker")
    throw invalid("exec.ready", "connect", `"connect" only together with exec.bind = "backend"`);
  return {
    args: parseArgs(labels["exec.args"]),
    env: parseEnv(labels),
    cwd: parseCwd(labels["exec.cwd"]),
    bind,
    ready,
    nonBlocking: oneOf(labels, "exec.nonblocking", ["false", "true"] as const) === "true",
    readyTimeoutMs: parseDuration(labels, "exec.ready_timeout", DEFAULT_READY_TIMEOUT_MS),
    stopTimeoutMs: parseDuration(labels, "exec.stop_timeout", DEFAULT_STOP_TIMEOUT_MS),
    logMaxBytes: parseBytes(labels, "log.max_bytes", DEFAULT_LOG_MAX_BYTES),
  };
}

/**
 * Reads the `handoff.` labels.
 *
 * @throws BrokerError DEFINITION_INVALID naming the label, what it holds and what it may hold.
 */
export function parseHandoffSettings(labels: Readonly<Record<string, string>>): HandoffSettings {
  return {
    enabled: oneOf(labels, "handoff.enabled", ["true", "false"] as const) === "true",
    endpoint: parseHandoffEndpoint(labels["handoff.endpoint"]),
    maxAttemptsPerMinute: parseAttempts(labels, "handoff.max_attempts_per_minute"),
    disableUnderFdPressure: oneOf(labels, "handoff.disable_under_fd_pressure", ["true", "false"] as const) === "true",
  };
}

/** For backends that report leases; the others cannot say that they work although nobody is connected. */
export const DEFAULT_IDLE_TIMEOUT_MS = 3 * 3_600_000;

/**
 * Reads `idle.timeout`. Undefined: the default of the kind of backend it turns out to be.
 *
 * @throws BrokerError DEFINITION_INVALID
 */
export function parseIdleTimeout(labels: Readonly<Record<string, string>>): number | "never" | undefined {
  const key = "idle.timeout";
  const text = labels[key];
  if (text === undefined || text === "never") return text;
  const match = /^(\d{1,9})(ms|s|m|h|d)$/.exec(text);
  const ms = match === null ? Number.NaN : Number(match[1]) * LONG_UNIT_MS[match[2] as keyof typeof LONG_UNIT_MS];
  if (ms >= 1 && ms <= MAX_IDLE_MS) return ms;
  throw invalid(key, text, `"never" or a duration such as "90s", "30m" or "3h", at most 7d`);
}

function parseHandoffEndpoint(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  if (/^(\/|\{endpoint\}.)/.test(text) && !text.includes("\0")) return text;
  throw invalid("handoff.endpoint", text, "an absolute path, or {endpoint} and a suffix");
}

/** What the label `handoff.endpoint` makes of a backend's endpoint; undefined without the label. */
export function handoffAddress({ endpoint: template }: HandoffSettings): ((endpoint: string) => string) | undefined {
  if (template === undefined) return undefined;
  // Not as a replacement text, in which "$" has a meaning.
  return (endpoint) => template.replaceAll("{endpoint}", () => endpoint);
}

/** The arguments with `{endpoint}`, `{version}` and `{service}` filled in. */
export function expandArgs(
  args: readonly string[],
  values: { endpoint: string; version: string; service: string },
): string[] {
  return args.map((arg) =>
    arg.replace(/\{(endpoint|version|service)\}/g, (_, key: keyof typeof values) => values[key]),
  );
}

function parseArgs(text: string | undefined): readonly string[] {
  if (text === undefined) return [];
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw invalid("exec.args", text, "a JSON array of strings");
  }
  if (!Array.isArray(value) || value.some((item) => typeof item !== "string" || item.includes("\0")))
    throw invalid("exec.args", text, "a JSON array of strings");
  return value as string[];
}

const ENV_PREFIX = "exec.env.";

function parseEnv(labels: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const env: [string, string][] = [];
  for (const [key, value] of Object.entries(labels)) {
    if (!key.startsWith(ENV_PREFIX)) continue;
    const name = key.slice(ENV_PREFIX.length);
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) throw invalid(key, value, "a key of the form exec.env.NAME");
    if (name.startsWith("RUNNING_PROCESS_BROKER_"))
      throw invalid(key, value, "a variable that the broker does not set itself");
    if (value.includes("\0")) throw invalid(key, value, "text without NUL bytes");
    env.push([name, value]);
  }
  // Unlike assignment, this also keeps a variable called __proto__.
  return Object.fromEntries(env);
}

function parseCwd(text: string | undefined): string {
  if (text === undefined || text === "") return "/";
  if (!text.startsWith("/") || text.includes("\0")) throw invalid("exec.cwd", text, "an absolute path");
  return text;
}

function oneOf<T extends string>(
  labels: Readonly<Record<string, string>>,
  key: string,
  allowed: readonly [T, ...T[]],
): T {
  const text = labels[key];
  if (text === undefined) return allowed[0];
  if (!(allowed as readonly string[]).includes(text))
    throw invalid(key, text, allowed.map((word) => `"${word}"`).join(", "));
  return text as T;
}

const UNIT_MS = { ms: 1, s: 1000, m: 60_000 } as const;
const LONG_UNIT_MS = { ...UNIT_MS, h: 3_600_000, d: 86_400_000 } as const;
const MAX_IDLE_MS = 7 * LONG_UNIT_MS.d;

function parseDuration(labels: Readonly<Record<string, string>>, key: string, fallbackMs: number): number {
  const text = labels[key];
  if (text === undefined) return fallbackMs;
  const match = /^(\d{1,9})(ms|s|m)$/.exec(text);
  const ms = match === null ? Number.NaN : Number(match[1]) * UNIT_MS[match[2] as keyof typeof UNIT_MS];
  if (!(ms >= 1 && ms <= MAX_TIMEOUT_MS))
    throw invalid(key, text, `a duration such as "500ms", "10s" or "2m", at most ${MAX_TIMEOUT_MS / 60_000}m`);
  return ms;
}

const LOG_BYTES = { min: 4096, max: 1024 ** 3 };

function parseBytes(labels: Readonly<Record<string, string>>, key: string, fallback: number): number {
  const text = labels[key];
  if (text === undefined) return fallback;
  const bytes = /^\d{1,12}$/.test(text) ? Number(text) : Number.NaN;
  if (!(bytes >= LOG_BYTES.min && bytes <= LOG_BYTES.max))
    throw invalid(key, text, `a number of bytes from ${LOG_BYTES.min} to ${LOG_BYTES.max}`);
  return bytes;
}

const ATTEMPTS = { min: 1, max: 10_000 };

function parseAttempts(labels: Readonly<Record<string, string>>, key: string): number | undefined {
  const text = labels[key];
  if (text === undefined) return undefined;
  const attempts = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (!(attempts >= ATTEMPTS.min && attempts <= ATTEMPTS.max))
    throw invalid(key, text, `a number from ${ATTEMPTS.min} to ${ATTEMPTS.max}`);
  return attempts;
}

function invalid(key: string, got: string, expected: string): BrokerError {
  return new BrokerError(
    "DEFINITION_INVALID",
    `label ${key} is ${JSON.stringify(got.slice(0, 200))}, expected ${expected}`,
    { details: { check: key } },
  );
}
