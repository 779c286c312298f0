/**
 * The process of a launch: its listener and control channel, its environment and arguments, and what it inherits of them.
 */
import { type DisposalStack, during } from "../../base/disposal-stack.ts";
import { BrokerError, hasCode } from "../../base/errors.ts";
import { expandArgs } from "../../model/exec-settings.ts";
import type { BackendEndpoint } from "../../model/identity.ts";
import { launchEnvironment } from "../../model/launch-environment.ts";
import type { Env, Files, Platform, SpawnedProcess, SpawnOptions, Transferable } from "../../platform/ports/index.ts";
import type { InitialChannel } from "../control/control-slot.ts";
import type { BackendLog } from "./backend-log.ts";
import { endTree, launchSearch } from "./kill-tree.ts";
import type { LaunchRequest } from "./launch-request.ts";
import type { Binary } from "./resolve-binary.ts";

/** What a launch has before its process. */
export interface PreparedLaunch {
  readonly binary: Binary;
  readonly endpoint: BackendEndpoint;
  readonly log: BackendLog;
}

export interface SpawnedBackend {
  readonly child: SpawnedProcess;
  /** Our end of the control channel; absent for a daemon that is none of the SDK's. */
  readonly control: InitialChannel | undefined;
}

/**
 * What is started belongs to `held`; what is only for the child is closed here. `env`: the broker's own.
 *
 * @throws BrokerError SPAWN_FAILED with the frozen text, IO_FAILED, PATH_TOO_LONG
 */
export function spawnBackend(
  options: { readonly platform: Platform; readonly env: Env; readonly brokerEndpoint: string },
  request: LaunchRequest,
  prepared: PreparedLaunch & { readonly held: DisposalStack },
): Promise<SpawnedBackend> {
  const { platform } = options;
  const { exec } = request.definition;
  const { binary, endpoint, log, held } = prepared;
  const blocking = !exec.nonBlocking;
  // While ours were open, a dead backend's endpoint would still accept connections.
  return during(async (ends) => {
    const listener =
      exec.bind === "broker" ? ends.use(platform.transport.listen(endpoint.path, { blocking })) : undefined;
    // A daemon that answers no probe does not know the channel either, and one more descriptor could only confuse it.
    const pair = exec.ready === "probe" ? platform.transport.pair({ theirsBlocking: blocking }) : undefined;
    if (pair !== undefined) {
      held.use(pair.ours);
      ends.use(pair.theirs);
    }
    const inherit = [listener, pair?.theirs].flatMap((each) => each?.transferable ?? []);
    const numberOf = (given: { readonly transferable: Transferable }): number =>
      platform.processes.numberInChild(inherit, given.transferable);
    const env = launchEnvironment(options.env, {
      ...request.key,
      binary: binary.path,
      endpoint,
      traceparent: asVariable(request.traceparent),
      tracestate: asVariable(request.tracestate),
      ...(listener !== undefined && { listenerFd: numberOf(listener) }),
      ...(pair !== undefined && { controlFd: numberOf(pair.theirs), brokerEndpoint: options.brokerEndpoint }),
      extra: exec.env,
    });
    const args = expandArgs(exec.args, {
      endpoint: endpoint.path,
      version: request.key.version,
      service: request.key.service,
    });
    const child = await startProgram(platform, {
      ...(exec.ready === "listen" ? throughListenFds(binary.path, args, env) : { file: binary.path, args, env }),
      cwd: exec.cwd,
      ...(log.transferable !== undefined && { output: log.transferable }),
      inherit,
      binary: binary.path,
    });
    // Nothing else knows of it yet.
    held.use(child);
    held.defer(() => endTree(platform.processes, child, launchSearch(endpoint.path, child.pid)));
    return { child, control: pair && { connection: pair.ours } };
  });
}

async function startProgram(
  platform: Pick<Platform, "files" | "processes">,
  { binary, ...program }: SpawnOptions & { readonly binary: string },
): Promise<SpawnedProcess> {
  try {
    return await platform.processes.spawn(program);
  } catch (error) {
    if (!hasCode(error, "SPAWN_FAILED")) throw error;
    const { errno } = error.details;
    const hint = errno === "ENOENT" ? missing(platform.files, binary, program.cwd) : "";
    throw new BrokerError("SPAWN_FAILED", `backend daemon spawn failed: ${errno}${hint}`, {
      details: error.details,
      cause: error,
    });
  }
}

/** A peer's text; the kernel ends variables at a NUL byte, so one that holds it cannot be passed on. */
function asVariable(text: string): string {
  return text.includes("\0") ? "" : text;
}

/** The binary itself is there, so the kernel's ENOENT means something else that is easily overlooked. */
function missing(files: Files, binary: string, cwd: string): string {
  if (files.facts(cwd) === undefined) return `: there is no working directory ${cwd}`;
  const interpreter = files.interpreterLine(binary)?.split(/[ \t]/)[0];
  return interpreter === undefined ? "" : `: there is no interpreter ${interpreter}, which its first line names`;
}

/**
 * sd_listen_fds(3) wants LISTEN_PID to be the pid of the process itself, which only that process knows before it runs:
 * a shell that replaces itself by the daemon keeps its pid.
 */
function throughListenFds(
  file: string,
  args: readonly string[],
  env: Record<string, string>,
): { file: string; args: string[]; env: Record<string, string> } {
  return {
    file: "/bin/sh",
    args: ["-c", 'LISTEN_PID=$$ exec "$0" "$@"', file, ...args],
    env: { ...env, LISTEN_FDS: "1", LISTEN_FDNAMES: "connection" },
  };
}
