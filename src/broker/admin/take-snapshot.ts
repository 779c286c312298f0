/** A broker at one moment, for whoever asks about it. */
import { isBrokerError } from "../../base/errors.ts";
import { encodeLifecycleEvent } from "../../model/lifecycle-event.ts";
import { SPAWN_ATTEMPTS_PER_WINDOW } from "../../model/spawn-budget.ts";
import type { Platform } from "../../platform/ports/index.ts";
import { readLifecycleEvents } from "../../store/lifecycle-reader.ts";
import type { Activation } from "../activation/activation.ts";
import type { BackendHealth } from "../activation/backend-health.ts";
import type { BrokerMetrics } from "../events/metrics.ts";
import type { LifecycleRecorder } from "../events/recorder.ts";
import type { BrokerSnapshot, EventRow } from "./broker-snapshot.ts";

export interface SnapshotSources
  extends Pick<
    BrokerSnapshot,
    "endpoint" | "instance" | "connectionsOpen" | "fdDemoted" | "shuttingDown" | "definitions"
  > {
  readonly platform: Platform;
  readonly activation: Activation;
  /** Monotonic. */
  readonly startedMs: number;
  readonly health: BackendHealth;
  readonly recorder: LifecycleRecorder;
  readonly logDirectory: string;
  readonly metrics: BrokerMetrics;
}

/** Of this broker's own. */
const MAX_EVENTS = 256;

export function takeSnapshot(sources: SnapshotSources): BrokerSnapshot {
  const { platform, activation, endpoint, connectionsOpen, fdDemoted, shuttingDown } = sources;
  const uptimeMs = platform.clock.monotonicMs() - sources.startedMs;
  return {
    nowUnixMs: platform.clock.wallMs(),
    instance: sources.instance,
    pid: platform.processes.selfPid,
    endpoint,
    uptimeMs,
    acceptingHello: !fdDemoted && !shuttingDown,
    shuttingDown,
    connectionsOpen,
    launching: activation.launching,
    fdDemoted,
    inodes: platform.host.inodeUsage(platform.paths.dirname(endpoint)),
    backends: activation.backends(),
    draining: activation.draining(),
    crashes: activation.crashes(),
    budgets: activation.budgets(),
    health: sources.health.records(),
    definitions: sources.definitions,
    events: () => recentEvents(sources),
    metrics: () =>
      sources.metrics.families({
        backends: activation.backends().map(({ key }) => key),
        budgets: activation.budgets().map(({ key, remaining }) => ({ ...key, remaining })),
        fullBudget: SPAWN_ATTEMPTS_PER_WINDOW,
        connectionsOpen,
        fdUsageRatio: descriptorRatio(platform),
        uptimeMs,
      }),
  };
}

/** What is on record of this broker's doing, oldest first. */
function recentEvents({ platform, recorder, logDirectory }: SnapshotSources): readonly EventRow[] {
  recorder.flush();
  const own = String(platform.processes.selfPid);
  try {
    return readLifecycleEvents(platform.files, logDirectory)
      .filter((event) => event.extra.broker_pid === own)
      .slice(-MAX_EVENTS)
      .map((event) => JSON.parse(encodeLifecycleEvent(event)) as EventRow);
  } catch (error) {
    // A record that cannot be read is no reason to say nothing of all the rest.
    if (isBrokerError(error)) return [];
    throw error;
  }
}

/** Counting takes a descriptor itself: when there is none, that is the answer. */
function descriptorRatio({ host }: Pick<Platform, "host">): number {
  try {
    const { open, limit } = host.descriptorUsage();
    return Math.min(1, open / limit);
  } catch {
    return 1;
  }
}
