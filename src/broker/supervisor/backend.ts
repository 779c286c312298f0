/** What a backend is to the rest of the broker. */
import type { MaybePromise } from "../../base/maybe-promise.ts";
import type { BackendKey } from "../../model/backend-key.ts";
import type { BackendEvent, BackendState } from "../../model/backend-state.ts";
import type { BackendIdentity } from "../../model/identity.ts";
import type { ServiceDefinition } from "../../model/service-definition.ts";
import type { Connection, Platform } from "../../platform/ports/index.ts";
import type { SuspendedChannel } from "../control/control-channel.ts";
import type { BackendControl } from "../control/control-requests.ts";
import type { Crash } from "../events/reports.ts";
import type { HandoffWay } from "../handoff/handoff-transport.ts";
import type { BackendResources } from "../launch/backend-resources.ts";

/** A served backend, launched here, adopted or registered at start. */
export interface Backend {
  readonly key: BackendKey;
  readonly identity: BackendIdentity;
  readonly state: BackendState;
  /** It was launched by an earlier broker. */
  readonly adopted?: boolean;
  /**
   * What it was launched from, in its newest wording that means the same process; undefined for one that was
   * registered. Settings that are not part of the process are read from here.
   */
  definition?: ServiceDefinition | undefined;
  /** Wall clock of the last Hello that got it; its start before the first. */
  lastActiveUnixMs: number;
  /** Wall clock of the last Hello that got it; 0 before the first. */
  lastHelloUnixMs: number;
  /** False when its process is gone or no client can reach its endpoint. Connects to nothing; cheap enough for every Hello. */
  isServing(): MaybePromise<boolean>;
  /** How a client's connection can be handed to it right now; undefined: not at all. */
  handoffWay(): HandoffWay | undefined;
  /** It was found not to serve: a launched one is ended, one that was registered is left alone. */
  retire(): void;
}

export interface LaunchedBackend extends Backend {
  /** Resolves when nothing of it is left. */
  readonly ended: Promise<void>;
  /** What can be asked of it over its control channel, and what it says there. */
  readonly control: BackendControl;
  /** Also known before it is ready. */
  readonly pid: number;
  /** Ends it gracefully, by force after the definition's stop time-out. */
  stop(): void;
  /**
   * Gives it a new control channel, whose other end the kernel calls `pid`. Consumes the connection when true; false when
   * that is not this backend's live process, or it neither runs nor drains.
   */
  attachControl(pid: number, connection: Connection): boolean;
  /** A newer one serves its key: it takes no new client, and ends when no client uses it any more. */
  supersede(): void;
  /**
   * Leaves it alone, so that another broker can take it over: whatever happens to it has no effect until `resume`. Only
   * for one that runs or drains, with no handoff in flight.
   */
  suspend(): Promise<SuspendedBackend>;
  resume(): void;
  /** Another broker has taken it over. Never throws. */
  letGo(): void;
}

/** What another broker cannot find in the backend's manifest. */
export interface SuspendedBackend extends BackendPast {
  readonly endpoint: string;
  readonly pid: number;
  /** Its control channel, if it has one. */
  readonly channel: SuspendedChannel | undefined;
}

/** Where a launch makes itself known while it goes on. */
export interface LaunchRegistry {
  /** There is a process. */
  started(backend: LaunchedBackend): void;
  /** It may be handed out. */
  publish(backend: LaunchedBackend): void;
  /** It may not be handed out any more. */
  unpublish(backend: LaunchedBackend, why: BackendEvent): void;
  crashed(backend: LaunchedBackend, crash: Crash): void;
}

export interface BackendPast extends Pick<Backend, "lastActiveUnixMs" | "lastHelloUnixMs"> {
  /** It has been sent SIGTERM. */
  readonly terminated: boolean;
  /** Milliseconds until it is killed if it still lives; undefined: never. */
  readonly killInMs: number | undefined;
}

export interface BackendOptions {
  readonly platform: Platform;
  readonly key: BackendKey;
  readonly definition: ServiceDefinition;
  readonly resources: BackendResources;
  readonly registry: LaunchRegistry;
  readonly onTransition: (backend: LaunchedBackend, event: BackendEvent, from: BackendState) => void;
}

export interface Adoption {
  readonly identity: BackendIdentity;
  /** It gets no new client and ends when no client uses it any more. */
  readonly drain: boolean;
  /** As the broker knew it that had it before. Default: it was used just now, by no Hello, and was not told to end. */
  readonly past?: BackendPast | undefined;
}
