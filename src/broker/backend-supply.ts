/** Where a broker's backends come from: launched for a Hello, or left running by an earlier broker at its address. */
import type { Platform } from "../platform/ports/index.ts";
import { type Activation, createActivation } from "./activation/activation.ts";
import type { BackendHealth } from "./activation/backend-health.ts";
import type { BrokerEvents } from "./events/events.ts";
import type { BrokerMetrics } from "./events/metrics.ts";
import type { BackendLogReports } from "./launch/backend-log.ts";
import type { BackendProcess } from "./launch/backend-resources.ts";
import { createLauncher } from "./launch/launcher.ts";
import { takeSpawnLock } from "./launch/spawn-lock.ts";
import type { BrokerOptions } from "./options.ts";
import { adoptBackend } from "./recovery/adopt-backend.ts";
import { handleLeftovers } from "./recovery/leftovers.ts";
import type { Bequests } from "./succession/received-state.ts";
import type { BackendOptions } from "./supervisor/backend.ts";
import { bringUp } from "./supervisor/bring-up.ts";

export interface SupplyOptions extends Pick<BrokerOptions, "endpoint" | "env" | "logDirectory"> {
  readonly platform: Platform;
  readonly events: BrokerEvents;
  readonly metrics: BrokerMetrics;
  readonly health: BackendHealth;
  readonly isStopping: () => boolean;
}

function logReports(events: BrokerEvents): BackendLogReports {
  return {
    onLogFault: (key, path, fault) => events.logFault(key, path, fault),
    onLogDropped: (key, path, dropped) => events.logDropped(key, path, dropped),
  };
}

/** Launches what Hellos ask for. */
export function createSupply(options: SupplyOptions): Activation {
  const { platform, events, metrics, health, endpoint } = options;
  const launcher = createLauncher({
    platform,
    env: options.env,
    brokerEndpoint: endpoint,
    logDirectory: options.logDirectory,
    ...logReports(events),
    onRecordFault: (key, error) => events.unrecorded(key, error),
  });
  return createActivation({
    clock: platform.clock,
    bringUp: async (request, registry) => {
      const { key, definition } = request;
      const lock = takeSpawnLock(platform, endpoint, key);
      let pid: number | undefined;
      try {
        events.launching(key, request.askedBy ?? 0);
        const { resources, ready } = await launcher.launch(request);
        pid = resources.process.pid;
        const onTransition = followBackend(options, resources.process);
        const backend = await bringUp({ platform, key, definition, resources, registry, onTransition }, ready);
        metrics.spawn(key, "ready");
        return backend;
      } catch (error) {
        metrics.spawn(key, "failed");
        health.launchFailed(key, error);
        events.launchFailed(key, { pid, error, ending: options.isStopping() });
        throw error;
      } finally {
        lock.release();
      }
    },
    onCrash: (backend, crash, crashes, delayMs) =>
      events.crashed(backend.key, backend.identity.pid, crash, crashes, delayMs),
  });
}

/**
 * Takes over what earlier brokers at this address left in `directories`; Hellos for it wait until it has been looked at.
 * `inherited`: what the last of them hands over.
 */
export function adoptLeftovers(
  options: SupplyOptions,
  activation: Activation,
  { directories, inherited }: { readonly directories: readonly string[]; readonly inherited?: Bequests | undefined },
): void {
  const { platform, events, endpoint: brokerEndpoint } = options;
  const adoption = {
    platform,
    brokerEndpoint,
    inherited,
    ...logReports(events),
    onTransition: (pid: number) => followBackend(options, { pid }),
    onRecordFault: (...fault: Parameters<BrokerEvents["unrecorded"]>) => events.unrecorded(...fault),
  };
  handleLeftovers(
    platform,
    { directories, brokerEndpoint },
    {
      reaped: (count) => events.reaped(count),
      notAdopted: (...backend) => events.notAdopted(...backend),
      classified: (endpoint, verdict, evidence) => events.leftover(endpoint, verdict, evidence),
      adopting: (key, work) =>
        activation.adopt(key, (registry) => work((found) => adoptBackend({ ...adoption, registry }, found))),
    },
  );
  // What has no taker belongs to a backend that is gone or not as it was.
  const letGo = (): void => inherited?.close();
  void activation.settled().then(letGo, letGo);
}

function followBackend(
  { events, health }: Pick<SupplyOptions, "events" | "health">,
  process: Pick<BackendProcess, "pid" | "exitStatus">,
): BackendOptions["onTransition"] {
  const { pid } = process;
  return (backend, event, from) => {
    const exit = process.exitStatus;
    events.backend({ key: backend.key, pid, event, from, to: backend.state, exit });
    if (from === "running" || event === "stop-timeout") health.ended(backend.key, event, exit, backend.lastHelloUnixMs);
  };
}
