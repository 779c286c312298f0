/**
 * What a broker holds of one backend's process, launched here or adopted: the process, its log, its control channel, its
 * ways of handoff, and the files by which the next broker knows it.
 */

import { runAll } from "../../base/disposal-stack.ts";
import type { BackendKey } from "../../model/backend-key.ts";
import { handoffAddress } from "../../model/exec-settings.ts";
import type { ExitStatus } from "../../model/exit-status.ts";
import type { BackendEndpoint, BackendIdentity } from "../../model/identity.ts";
import type { ServiceDefinition } from "../../model/service-definition.ts";
import type { Platform, ProcessHandle } from "../../platform/ports/index.ts";
import { type ControlSlot, createControlSlot, type InitialChannel } from "../control/control-slot.ts";
import { createDialledWay } from "../handoff/dialled-handoff.ts";
import type { HandoffWay } from "../handoff/handoff-transport.ts";
import type { BackendLog } from "./backend-log.ts";
import { removeEndpointFiles, writeManifest } from "./backend-records.ts";
import { type LaunchSearch, launchSearch } from "./kill-tree.ts";

/** Not a child of ours when adopted: then its exit status stays unknown. */
export type BackendProcess = ProcessHandle & { readonly exitStatus?: ExitStatus | undefined };

export interface BackendResources {
  readonly adopted: boolean;
  readonly endpoint: BackendEndpoint;
  readonly process: BackendProcess;
  readonly log: BackendLog;
  /** By what everything it started is found. */
  readonly search: LaunchSearch;
  /** @see Backend.handoffWay */
  handoffWay(): HandoffWay | undefined;
  /** Empty for a daemon that was given no control channel, and for an adopted one until it attaches. */
  readonly control: ControlSlot;
  /** Writes down, for the next broker, that it runs, and whether it takes new clients. */
  record(identity: BackendIdentity, retired: boolean): void;
  /** Nobody can come to its endpoint any more; connections that are open or waiting stay. */
  closeEndpoint(): void;
  /** Connections open to it, as far as they can be seen. */
  connections(): number | undefined;
  /**
   * Removes endpoint and records and lets the log go. The process must have ended or never be reached again. Never throws:
   * what cannot be removed is left to the next broker.
   */
  cleanUp(): void;
}

export interface ResourceParts {
  readonly platform: Platform;
  readonly adopted: boolean;
  readonly key: BackendKey;
  readonly definition: ServiceDefinition;
  readonly endpoint: BackendEndpoint;
  readonly process: BackendProcess;
  readonly log: BackendLog;
  readonly control: InitialChannel | undefined;
  readonly brokerEndpoint: string;
  /** It could not be recorded: a later broker will not find it. */
  readonly onRecordFault: (error: unknown) => void;
  /** Everything is removed. Default: nothing follows from it. */
  readonly onCleanedUp?: () => void;
}

/** Takes over process, log and channel, unless it throws. */
export function createBackendResources(parts: ResourceParts): BackendResources {
  const { platform, adopted, endpoint, process, log, definition } = parts;
  const { processes } = platform;
  const control = createControlSlot(platform, parts.control);
  const handoffPath = handoffAddress(definition.handoff)?.(endpoint.path);
  // A backend that knows nothing of control channels but of v1 handoffs says so in its definition.
  const dialled = handoffPath === undefined ? undefined : createDialledWay(platform, handoffPath);
  return {
    adopted,
    endpoint,
    process,
    log,
    search: launchSearch(endpoint.path, adopted ? undefined : process.pid),
    handoffWay: () => dialled ?? control.way(),
    control,
    record(identity, retired) {
      try {
        writeManifest(platform, { ...parts, identity, retired, logPath: log.path, isAlive: () => process.isAlive() });
      } catch (error) {
        parts.onRecordFault(error);
      }
    },
    closeEndpoint() {
      try {
        if (platform.endpoints.exists(endpoint.path)) platform.endpoints.remove(endpoint.path);
      } catch (error) {
        parts.onRecordFault(error);
      }
    },
    connections: () =>
      processes.countConnections({ path: endpoint.path, pid: process.pid, handedOverFrom: parts.brokerEndpoint }),
    cleanUp() {
      runAll([
        () => control.close(),
        () => log.close(),
        () => removeEndpointFiles(platform, endpoint.path),
        () => process.close(),
        () => parts.onCleanedUp?.(),
      ]);
    },
  };
}
