/**
 * The builder of service definitions: what an author writes, with names instead of label keys and with the defaults
 * that our tools use. `rpb service add` and the TOML form both end here.
 */
import { posix } from "node:path";
import {
  optionalBoolean,
  optionalNumber,
  optionalObject,
  optionalText,
  optionalTexts,
  requireObject,
  requireText,
} from "../base/check-option.ts";
import { BrokerError } from "../base/errors.ts";
import type { BindMode, Readiness } from "./exec-settings.ts";
import {
  createServiceDefinition,
  type Isolation,
  type ServiceDefinition,
  VERSION_PLACEHOLDER,
} from "./service-definition.ts";

export interface ServiceDraft {
  readonly name: string;
  /** Absolute; `{version}` stands for the wanted version. */
  readonly binary: string;
  /** Directory the binary must lie in once links are resolved. Default: `defaultRoot(binary)`. */
  readonly root?: string;
  /** Default: `private`, or `explicit` when `instance` is given. */
  readonly isolation?: Isolation;
  readonly instance?: string;
  /** Lowest version served. Default: none. */
  readonly minVersion?: string;
  /** The only versions served. Default: all. */
  readonly versions?: readonly string[];
  readonly exec?: ExecDraft;
  readonly log?: { readonly maxBytes?: number };
  /** Labels by their raw keys; a key that `exec` or `log` also sets is an error. */
  readonly labels?: Readonly<Record<string, string>>;
}

export interface ExecDraft {
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Default: `broker`, or `backend` when `ready` is `connect`. */
  readonly bind?: BindMode;
  readonly ready?: Readiness;
  /** Descriptors it is given have O_NONBLOCK set, like systemd's NonBlocking=. Default: false. */
  readonly nonBlocking?: boolean;
  /** A duration such as `500ms`, `10s` or `2m`. */
  readonly readyTimeout?: string;
  readonly stopTimeout?: string;
}

/**
 * A valid definition from a draft.
 *
 * @throws BrokerError OPTION_INVALID, NAME_INVALID, VERSION_INVALID, DEFINITION_INVALID
 */
export function defineService(draft: ServiceDraft): ServiceDefinition {
  checkDraft(draft);
  const labels = { ...draft.labels };
  for (const [key, value] of Object.entries(draftedLabels(draft))) {
    if (Object.hasOwn(labels, key)) {
      throw new BrokerError(
        "DEFINITION_INVALID",
        `label ${key} is set twice: as a label, and by the setting that stands for it; keep one`,
        { details: { check: key } },
      );
    }
    labels[key] = value;
  }
  labels["exec.bind"] ??= labels["exec.ready"] === "connect" ? "backend" : "broker";
  return createServiceDefinition({
    serviceName: draft.name,
    binaryPath: draft.binary,
    perVersionBinaryDir: draft.root ?? defaultRoot(draft.binary),
    isolation: draft.isolation ?? (draft.instance === undefined ? "private" : "explicit"),
    ...(draft.instance !== undefined && { explicitInstance: draft.instance }),
    ...(draft.minVersion !== undefined && { minVersion: draft.minVersion }),
    ...(draft.versions !== undefined && { versionAllowList: draft.versions }),
    labels,
  });
}

/** The shape alone, of which a caller without types knows nothing; what the fields may hold is the definition's to say. */
function checkDraft(draft: ServiceDraft): void {
  requireObject("draft", draft);
  requireText("name", draft.name);
  requireText("binary", draft.binary);
  for (const name of ["root", "isolation", "instance", "minVersion"] as const) optionalText(name, draft[name]);
  optionalTexts("versions", draft.versions);
  optionalObject("log", draft.log);
  optionalObject("exec", draft.exec);
  optionalNumber("log.maxBytes", draft.log?.maxBytes, { whole: true }, "a whole number of bytes");
  optionalTexts("exec.args", draft.exec?.args);
  optionalBoolean("exec.nonBlocking", draft.exec?.nonBlocking);
  for (const name of ["cwd", "bind", "ready", "readyTimeout", "stopTimeout"] as const)
    optionalText(`exec.${name}`, draft.exec?.[name]);
  for (const [name, values] of [
    ["exec.env", draft.exec?.env],
    ["labels", draft.labels],
  ] as const) {
    optionalObject(name, values);
    for (const [key, value] of Object.entries(values ?? {})) requireText(`${name}.${key}`, value);
  }
}

/** The part of the path in front of the component that holds `{version}`; without one, the binary's directory. */
export function defaultRoot(binary: string): string {
  const at = binary.indexOf(VERSION_PLACEHOLDER);
  return posix.dirname(at < 0 ? binary : binary.slice(0, at + 1));
}

/**
 * The draft that defines the same service: `defineService(draftOf(d))` runs backends as `d` does. Labels this version
 * does not know stay labels.
 */
export function draftOf(definition: ServiceDefinition): ServiceDraft {
  const given = definition.labels;
  const exec: ExecDraft = {
    ...(definition.exec.args.length > 0 && { args: definition.exec.args }),
    ...(given["exec.cwd"] !== undefined && { cwd: definition.exec.cwd }),
    // Always said: absent means `backend` in a definition but `broker` in a draft.
    bind: definition.exec.bind,
    ...(given["exec.ready"] !== undefined && { ready: definition.exec.ready }),
    ...(given["exec.nonblocking"] !== undefined && { nonBlocking: definition.exec.nonBlocking }),
    ...(given["exec.ready_timeout"] !== undefined && { readyTimeout: given["exec.ready_timeout"] }),
    ...(given["exec.stop_timeout"] !== undefined && { stopTimeout: given["exec.stop_timeout"] }),
    ...(Object.keys(definition.exec.env).length > 0 && { env: definition.exec.env }),
  };
  const labels = Object.fromEntries(Object.entries(given).filter(([key]) => !isDraftedLabel(key)));
  return {
    name: definition.serviceName,
    binary: definition.binaryPath,
    root: definition.perVersionBinaryDir,
    isolation: definition.isolation,
    ...(definition.explicitInstance !== "" && { instance: definition.explicitInstance }),
    ...(definition.minVersion !== "" && { minVersion: definition.minVersion }),
    ...(definition.versionAllowList.length > 0 && { versions: definition.versionAllowList }),
    exec,
    ...(given["log.max_bytes"] !== undefined && { log: { maxBytes: definition.exec.logMaxBytes } }),
    ...(Object.keys(labels).length > 0 && { labels }),
  };
}

const ENV_LABEL = "exec.env.";
const DRAFTED_LABELS: ReadonlySet<string> = new Set([
  "exec.args",
  "exec.cwd",
  "exec.bind",
  "exec.ready",
  "exec.nonblocking",
  "exec.ready_timeout",
  "exec.stop_timeout",
  "log.max_bytes",
]);

/** Has this label a setting of its own in a draft? */
export function isDraftedLabel(key: string): boolean {
  return DRAFTED_LABELS.has(key) || key.startsWith(ENV_LABEL);
}

function draftedLabels(draft: ServiceDraft): Record<string, string> {
  const exec = draft.exec ?? {};
  return {
    ...(exec.args !== undefined && { "exec.args": JSON.stringify(exec.args) }),
    ...(exec.cwd !== undefined && { "exec.cwd": exec.cwd }),
    ...(exec.bind !== undefined && { "exec.bind": exec.bind }),
    ...(exec.ready !== undefined && { "exec.ready": exec.ready }),
    ...(exec.nonBlocking !== undefined && { "exec.nonblocking": String(exec.nonBlocking) }),
    ...(exec.readyTimeout !== undefined && { "exec.ready_timeout": exec.readyTimeout }),
    ...(exec.stopTimeout !== undefined && { "exec.stop_timeout": exec.stopTimeout }),
    ...(draft.log?.maxBytes !== undefined && { "log.max_bytes": String(draft.log.maxBytes) }),
    ...Object.fromEntries(Object.entries(exec.env ?? {}).map(([name, value]) => [`${ENV_LABEL}${name}`, value])),
  };
}
