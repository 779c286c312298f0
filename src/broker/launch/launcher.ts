/**
 * One launch: endpoint, binary, log, listener, process, readiness (spec: launch §1; design: broker-owned bind). The
 * caller decides whether to launch; this file does it and, when any step fails, undoes the earlier ones.
 */
import { Deadline } from "../../base/clock.ts";
import { acquireAsync } from "../../base/disposal-stack.ts";
import { BrokerError, hasCode, isBrokerError, reasonOf } from "../../base/errors.ts";
import type { BackendKey } from "../../model/backend-key.ts";
import { handoffAddress } from "../../model/exec-settings.ts";
import { exitText } from "../../model/exit-status.ts";
import { sameStamp } from "../../model/file-identity.ts";
import type { BackendEndpoint, BackendIdentity } from "../../model/identity.ts";
import type { Env, Platform, SpawnedProcess } from "../../platform/ports/index.ts";
import { type BackendLog, type BackendLogReports, openBackendLog } from "./backend-log.ts";
import { removeEndpointFiles, writeLaunchRecord } from "./backend-records.ts";
import { type BackendResources, createBackendResources } from "./backend-resources.ts";
import { createEndpointAllocator } from "./endpoint-allocator.ts";
import type { LaunchRequest } from "./launch-request.ts";
import { awaitReadiness } from "./readiness.ts";
import { type Binary, resolveBinary } from "./resolve-binary.ts";
import { type PreparedLaunch, spawnBackend } from "./spawn-backend.ts";

/** A process that has been started and may come up. */
export interface StartedLaunch {
  /** The caller's from now on. */
  readonly resources: BackendResources;
  /** Resolves with the verified identity. @throws BrokerError; nothing is cleaned up by it */
  readonly ready: (signal: AbortSignal) => Promise<BackendIdentity>;
}

export interface Launcher {
  /** @throws BrokerError SPAWN_FAILED and others, with the frozen text of the step; nothing is left behind */
  launch(request: LaunchRequest): Promise<StartedLaunch>;
}

export interface LauncherOptions extends BackendLogReports {
  readonly platform: Platform;
  readonly env: Env;
  /** The broker's own address, for launch records. */
  readonly brokerEndpoint: string;
  readonly logDirectory: string;
  readonly onRecordFault: (key: BackendKey, error: unknown) => void;
}

/** Told to a backend and recorded; nothing enforces it. Frozen. */
const IDLE_TIMEOUT_SECS = 30;

export function createLauncher(options: LauncherOptions): Launcher {
  const { platform } = options;
  const places = { os: platform.host.os, env: options.env, uid: platform.user.uid, home: "" };
  const allocator = createEndpointAllocator(platform, places);

  return {
    async launch(request) {
      const { key, definition } = request;
      const binary = resolveBinary(platform.files, definition, key.version);
      return acquireAsync(async (held) => {
        const path = allocator.allocate(handoffAddress(definition.handoff));
        const endpoint: BackendEndpoint = { namespaceId: key.instanceId, path };
        held.defer(() => allocator.release(endpoint.path));
        held.defer(() => removeEndpointFiles(platform, endpoint.path));
        const log = held.use(
          openBackendLog({
            ...platform,
            directory: options.logDirectory,
            service: key.service,
            version: key.version,
            maxBytes: definition.exec.logMaxBytes,
            onDropped: (path, dropped) => options.onLogDropped(key, path, dropped),
          }),
        );
        if (log.fault !== undefined) options.onLogFault(key, log.path, log.fault);
        writeLaunchRecord(platform.files, endpoint.path, options.brokerEndpoint);
        const startedAtMs = Math.round(platform.clock.wallMs());
        const deadline = Deadline.after(platform.clock, definition.exec.readyTimeoutMs);
        const { child, control } = await spawnBackend(options, request, { binary, endpoint, log, held });
        const resources = createBackendResources({
          platform,
          adopted: false,
          key,
          definition,
          endpoint,
          process: child,
          log,
          control,
          brokerEndpoint: options.brokerEndpoint,
          onRecordFault: (error) => options.onRecordFault(key, error),
          onCleanedUp: () => allocator.release(endpoint.path),
        });
        return {
          resources,
          ready: (signal) => ready(platform, { request, binary, endpoint, child, log, startedAtMs, deadline, signal }),
        };
      });
    },
  };
}

interface ReadyOptions extends PreparedLaunch {
  readonly request: LaunchRequest;
  readonly child: SpawnedProcess;
  readonly startedAtMs: number;
  readonly deadline: Deadline;
  readonly signal: AbortSignal;
}

async function ready(platform: Platform, options: ReadyOptions): Promise<BackendIdentity> {
  const { binary, endpoint, child, log } = options;
  try {
    // Hashing runs while the child starts.
    const expected: BackendIdentity = {
      pid: child.pid,
      exePath: binary.path,
      sha256: await hashOf(platform, binary.path),
      endpoint,
      startedAtUnixMs: options.startedAtMs,
      bootId: platform.host.bootId(),
      idleTimeoutSecs: IDLE_TIMEOUT_SECS,
    };
    await awaitReadiness(platform, {
      expected,
      exec: options.request.definition.exec,
      deadline: options.deadline,
      signal: options.signal,
    });
    checkUnchanged(platform, binary);
    return expected;
  } catch (error) {
    throw withContext(error, child, log);
  }
}

/** @throws BrokerError SPAWN_FAILED when the program cannot be read, which running it does not take */
async function hashOf(platform: Pick<Platform, "files" | "user">, path: string): Promise<Uint8Array> {
  try {
    return await platform.files.sha256Executable(path);
  } catch (error) {
    if (!hasCode(error, "IO_FAILED")) throw error;
    const { errno } = error.details;
    const denied = errno === "EACCES" || errno === "EPERM";
    const cure = denied ? `; make it readable for uid ${platform.user.uid}: it is proved by its content` : "";
    throw new BrokerError("SPAWN_FAILED", `backend binary ${JSON.stringify(path)} cannot be read: ${errno}${cure}`, {
      details: error.details,
      cause: error,
    });
  }
}

/** The file that was checked, the one that was run and the one that was hashed must be the same. */
function checkUnchanged(platform: Pick<Platform, "files">, binary: Binary): void {
  const now = platform.files.facts(binary.path);
  if (sameStamp(now, binary.stamp)) return;
  throw new BrokerError(
    "IDENTITY_MISMATCH",
    `backend binary ${JSON.stringify(binary.path)} was changed while it was being launched`,
    { details: { check: "binary" } },
  );
}

/** What a client needs to see: how the process ended and what it said last. */
function withContext(error: unknown, child: SpawnedProcess, log: BackendLog): unknown {
  if (!isBrokerError(error)) return error;
  const ended = child.exitStatus && exitText(child.exitStatus);
  const what =
    ended === undefined || hasCode(error, "IDENTITY_MISMATCH", "SPAWN_FAILED")
      ? reasonOf(error)
      : `backend exited with ${ended} before it was ready`;
  return new BrokerError(error.code, what, {
    details: {
      ...error.details,
      logTail: log.tail(),
      ...(log.fault === undefined && { logPath: log.path }),
      ...(ended !== undefined && { exit: ended }),
    },
    cause: error,
  });
}
