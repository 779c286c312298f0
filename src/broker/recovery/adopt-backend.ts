/** A running backend of an earlier broker as one of ours: found process, its log and endpoint go on under this broker. */
import { acquire, type DisposalStack } from "../../base/disposal-stack.ts";
import type { BackendKey } from "../../model/backend-key.ts";
import type { Platform } from "../../platform/ports/index.ts";
import { type BackendLogReports, openBackendLog } from "../launch/backend-log.ts";
import { createBackendResources } from "../launch/backend-resources.ts";
import type { Bequests } from "../succession/received-state.ts";
import type { BackendOptions, LaunchedBackend } from "../supervisor/backend.ts";
import { takeOver } from "../supervisor/bring-up.ts";
import type { AdoptableBackend } from "./leftovers.ts";

export interface AdoptOptions extends BackendLogReports {
  readonly platform: Platform;
  readonly brokerEndpoint: string;
  readonly registry: BackendOptions["registry"];
  readonly onTransition: (pid: number) => BackendOptions["onTransition"];
  readonly onRecordFault: (key: BackendKey, error: unknown) => void;
  /** What the broker that had it before hands over of it. Default: that broker died. */
  readonly inherited?: Bequests | undefined;
}

/** Consumes the handle in `found`, also when it throws: then the backend goes on without a broker. */
export function adoptBackend(options: AdoptOptions, found: AdoptableBackend): LaunchedBackend {
  return acquire((held) => adopt(options, found, held));
}

function adopt(options: AdoptOptions, found: AdoptableBackend, held: DisposalStack): LaunchedBackend {
  const { platform } = options;
  const { manifest, process, drain } = found;
  held.use(process);
  const bequest = options.inherited?.take(manifest.identity.endpoint.path, process.pid);
  if (bequest?.channel !== undefined) held.use(bequest.channel.connection);
  const { identity, definition, instanceId, service, version } = manifest;
  const key: BackendKey = { instanceId, service, version };
  const log = held.use(
    openBackendLog({
      ...platform,
      directory: platform.paths.dirname(manifest.logPath),
      service,
      version,
      maxBytes: definition.exec.logMaxBytes,
      onDropped: (path, dropped) => options.onLogDropped(key, path, dropped),
    }),
  );
  if (log.fault !== undefined) options.onLogFault(key, log.path, log.fault);
  const resources = createBackendResources({
    platform,
    adopted: true,
    key,
    definition,
    endpoint: identity.endpoint,
    process,
    log,
    control: bequest?.channel,
    brokerEndpoint: options.brokerEndpoint,
    onRecordFault: (error) => options.onRecordFault(key, error),
  });
  return takeOver(
    {
      platform,
      key,
      definition,
      resources,
      registry: options.registry,
      onTransition: options.onTransition(process.pid),
    },
    // What is on its way out is given to nobody, whatever it answers.
    { identity, drain: drain || bequest?.past.terminated === true, past: bequest?.past },
  );
}
