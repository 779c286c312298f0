/** Runs the lifecycle table of one launched backend: turns events into effects, and effects into system calls. */
import type { Timer } from "../base/clock.ts";
import { BrokerError } from "../base/errors.ts";
import type { MaybePromise } from "../base/maybe-promise.ts";
import { acceptsConnections } from "../exchange/accepts-connections.ts";
import { type BackendEffect, type BackendEvent, type BackendState, stepBackend } from "../model/backend-state.ts";
import type { BackendIdentity } from "../model/identity.ts";
import { launchMarker } from "../model/launch-environment.ts";
import type { ServiceDefinition } from "../model/service-definition.ts";
import type { Connection, FileFacts, Platform, ProcessHandle } from "../platform/ports.ts";
import type { BackendControl } from "./control-requests.ts";
import type { HandoffWay } from "./handoff-way.ts";
import { killDescendants } from "./launch-record.ts";
import type { BackendKey, Launch } from "./launcher.ts";

/** A served backend, launched here or registered at start. */
export interface Backend {
  readonly key: BackendKey;
  readonly identity: BackendIdentity;
  readonly state: BackendState;
  /** Wall clock of the last Hello that got it; its start before the first. */
  lastActiveUnixMs: number;
  /** Wall clock of the last Hello that got it; 0 before the first. */
  lastHelloUnixMs: number;
  /** False when its process is gone or its endpoint accepts nobody. Cheap enough for every Hello. */
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
   * that is not this backend's live process, or it does not run.
   */
  attachControl(pid: number, connection: Connection): boolean;
}

/** Where a launch makes itself known while it goes on. */
export interface LaunchRegistry {
  /** There is a process. */
  started(backend: LaunchedBackend): void;
  /** It may be handed out. */
  publish(backend: LaunchedBackend): void;
  /** It may not be handed out any more. */
  unpublish(backend: LaunchedBackend): void;
}

export interface BackendOptions {
  readonly platform: Platform;
  readonly key: BackendKey;
  readonly definition: ServiceDefinition;
  readonly launch: Launch;
  readonly registry: LaunchRegistry;
  readonly onTransition: (backend: LaunchedBackend, event: BackendEvent, from: BackendState) => void;
}

/** Least time between two connects that only look whether an endpoint accepts; what a client can meet is older at most by this. */
const SERVING_CHECK_INTERVAL_MS = 100;
/** How long the end of a killed process is waited for. */
const KILL_PATIENCE_MS = 2000;

/**
 * Waits until the launch is ready and returns the running backend. Consumes `options.launch`, also on failure.
 *
 * @throws BrokerError what made the launch fail; by then everything it started has been killed
 */
export async function bringUp(options: BackendOptions): Promise<LaunchedBackend> {
  const backend = new BackendRunner(options);
  try {
    await backend.awaitReady();
    return backend;
  } catch (error) {
    backend.handle("launch-failed");
    await backend.ended;
    throw error;
  }
}

class BackendRunner implements LaunchedBackend {
  readonly key: BackendKey;
  readonly ended: Promise<void>;
  state: BackendState = "spawning";
  lastActiveUnixMs: number;
  lastHelloUnixMs = 0;
  private known: BackendIdentity | undefined;
  private socket: FileFacts | undefined;
  private checkedMs = Number.NEGATIVE_INFINITY;
  private checking: Promise<boolean> | undefined;
  private stopDeadline: Timer | undefined;
  private resolveEnded: () => void = () => {};
  private readonly dying: Promise<void>[] = [];
  private readonly abort = new AbortController();

  constructor(private readonly options: BackendOptions) {
    this.key = options.key;
    this.lastActiveUnixMs = Math.round(options.platform.clock.wallMs());
    this.ended = new Promise((resolve) => {
      this.resolveEnded = resolve;
    });
    options.registry.started(this);
    options.launch.process.onExit(() => this.handle("exited"));
  }

  get identity(): BackendIdentity {
    if (this.known === undefined) throw new Error("a backend has no identity before it is ready");
    return this.known;
  }

  async awaitReady(): Promise<void> {
    const identity = await this.options.launch.ready(this.abort.signal);
    if (this.state !== "spawning")
      throw new BrokerError("PROCESS_EXITED", "the backend ended at the moment it got ready");
    this.known = identity;
    this.socket = this.socketFacts();
    this.handle("ready");
  }

  stop(): void {
    this.handle("stop");
  }

  retire(): void {
    this.handle("not-serving");
  }

  get pid(): number {
    return this.options.launch.process.pid;
  }

  get control(): BackendControl {
    return this.options.launch.control;
  }

  attachControl(pid: number, connection: Connection): boolean {
    const { process, control } = this.options.launch;
    if (this.state !== "running" || pid !== process.pid || !process.isAlive()) return false;
    control.attach(connection);
    return true;
  }

  handoffWay(): HandoffWay | undefined {
    return this.options.launch.handoffWay();
  }

  isServing(): MaybePromise<boolean> {
    if (this.state !== "running" || !this.options.launch.process.isAlive() || !this.sameSocket()) return false;
    if (this.options.platform.clock.monotonicMs() - this.checkedMs < SERVING_CHECK_INTERVAL_MS) return true;
    this.checking ??= this.checkAccepts().finally(() => {
      this.checking = undefined;
    });
    return this.checking;
  }

  handle(event: BackendEvent): void {
    const step = stepBackend(this.state, event);
    if (step === undefined) return;
    const from = this.state;
    this.state = step.to;
    for (const effect of step.effects) this.run(effect);
    this.options.onTransition(this, event, from);
    if (step.to === "failed" || step.to === "absent") this.finish();
  }

  private run(effect: BackendEffect): void {
    const { launch, platform, definition } = this.options;
    switch (effect) {
      case "publish":
        launch.settle();
        return this.options.registry.publish(this);
      case "unpublish":
        return this.options.registry.unpublish(this);
      case "terminate":
        launch.process.signal("SIGTERM");
        return;
      case "arm-stop-deadline":
        this.stopDeadline = platform.clock.schedule(definition.exec.stopTimeoutMs, () => this.handle("stop-timeout"), {
          weak: true,
        });
        return;
      case "disarm-stop-deadline":
        this.stopDeadline?.cancel();
        return;
      case "kill-tree":
        this.abort.abort(new BrokerError("PROCESS_EXITED", "the backend's process ended or the launch was given up"));
        return this.killTree();
      case "clean-up":
        return launch.cleanUp();
    }
  }

  private killTree(): void {
    const { launch, platform } = this.options;
    const { process } = launch;
    process.signal("SIGKILL");
    this.dying.push(exitOf(process));
    const search = { sessionId: process.pid, marker: launchMarker(launch.endpoint) };
    for (const descendant of killDescendants(platform.processes, search))
      this.dying.push(exitOf(descendant).finally(() => descendant.close()));
  }

  /** The kernel may take a moment over a killed process, and for one stuck in a system call more than we wait. */
  private finish(): void {
    const { clock } = this.options.platform;
    const patience = clock.schedule(KILL_PATIENCE_MS, this.resolveEnded, { weak: true });
    void Promise.all(this.dying).then(() => {
      patience.cancel();
      this.resolveEnded();
    });
  }

  /** A deleted or replaced socket file is seen without connecting. */
  private sameSocket(): boolean {
    const now = this.socketFacts();
    return now !== undefined && now.ino === this.socket?.ino && now.dev === this.socket.dev;
  }

  private socketFacts(): FileFacts | undefined {
    try {
      return this.options.platform.files.facts(this.identity.endpoint.path);
    } catch {
      // Its directory cannot be looked into any more: nobody can connect either.
      return undefined;
    }
  }

  private async checkAccepts(): Promise<boolean> {
    if (!(await acceptsConnections(this.options.platform, this.identity.endpoint.path))) return false;
    this.checkedMs = this.options.platform.clock.monotonicMs();
    return true;
  }
}

function exitOf(process: ProcessHandle): Promise<void> {
  return new Promise((resolve) => process.onExit(resolve));
}
