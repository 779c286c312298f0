/** The flags of `rpb service add` as a draft. */
import { BrokerError } from "../../../base/errors.ts";
import type { ExecDraft, ServiceDraft } from "../../../model/define-service.ts";
import type { BindMode, Readiness } from "../../../model/exec-settings.ts";
import { parseInstanceId, splitOnce } from "../../../model/names.ts";
import { absolutePath } from "../../shell/option-parsers.ts";

export interface AddFlags {
  readonly file?: string;
  readonly binary?: string;
  readonly root?: string;
  readonly isolation?: string;
  readonly minVersion?: string;
  readonly allowVersion?: readonly string[];
  readonly arg?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly bind?: BindMode;
  readonly ready?: Readiness;
  readonly nonblocking?: boolean;
  readonly readyTimeout?: string;
  readonly stopTimeout?: string;
  readonly label?: Readonly<Record<string, string>>;
  readonly force?: boolean;
  readonly serviceDefDir?: string;
  readonly json?: boolean;
}

/** Is any flag given that says something about the service itself? */
export function usesDraftFlags(flags: AddFlags): boolean {
  const { file, force, serviceDefDir, json, ...draft } = flags;
  return Object.keys(draft).length > 0;
}

/** Relative paths are taken from `cwd`. @throws BrokerError OPTION_INVALID, NAME_INVALID */
export function draftOfFlags(name: string | undefined, flags: AddFlags, cwd: string): ServiceDraft {
  if (name === undefined)
    throw new BrokerError(
      "OPTION_INVALID",
      "name the service: rpb service add <name> --binary <path>, or rpb service add -f service.toml",
    );
  if (flags.binary === undefined)
    throw new BrokerError("OPTION_INVALID", `say what to launch: rpb service add ${name} --binary <path>`);
  return {
    name,
    binary: absolutePath(flags.binary, cwd),
    ...(flags.root !== undefined && { root: absolutePath(flags.root, cwd) }),
    ...(flags.isolation !== undefined && isolationOf(flags.isolation)),
    ...(flags.minVersion !== undefined && { minVersion: flags.minVersion }),
    ...(flags.allowVersion !== undefined && { versions: flags.allowVersion }),
    exec: execOf(flags, cwd),
    ...(flags.label !== undefined && { labels: flags.label }),
  };
}

function isolationOf(text: string): Pick<ServiceDraft, "isolation" | "instance"> {
  if (text === "private" || text === "shared") return { isolation: text };
  const [kind, instance] = splitOnce(text, ":");
  if (kind === "explicit" && instance !== undefined) {
    parseInstanceId(text);
    return { isolation: "explicit", instance };
  }
  throw new BrokerError(
    "OPTION_INVALID",
    `--isolation is ${JSON.stringify(text)}, expected private, shared or explicit:NAME`,
  );
}

function execOf(flags: AddFlags, cwd: string): ExecDraft {
  const { arg, env, bind, ready, nonblocking, readyTimeout, stopTimeout } = flags;
  return {
    ...(arg !== undefined && { args: arg }),
    ...(env !== undefined && { env }),
    ...(flags.cwd !== undefined && { cwd: absolutePath(flags.cwd, cwd) }),
    ...(bind !== undefined && { bind }),
    ...(ready !== undefined && { ready }),
    ...(nonblocking !== undefined && { nonBlocking: nonblocking }),
    ...(readyTimeout !== undefined && { readyTimeout }),
    ...(stopTimeout !== undefined && { stopTimeout }),
  };
}
