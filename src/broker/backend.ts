/** Runs the lifecycle table of one backend, launched or adopted: turns events into effects, and effects into system calls. */
import type { Timer } from "../base/clock.ts";
import { acquire, runAll } from "../base/disposal-stack.ts";
import { BrokerError } from "../base/errors.ts";
import type { MaybePromise } from "../base/maybe-promise.ts";
import type { BackendKey } from "../model/backend-key.ts";
import {
  type BackendEffect,
  type BackendEvent,
  type BackendLife,
  type BackendState,
  stepBackend,
  UNBORN,
} from "../model/backend-state.ts";
import { exitText } from "../model/exit-status.ts";
import type { BackendIdentity } from "../model/identity.ts";
import { binaryPathFor, type ServiceDefinition } from "../model/service-definition.ts";
import type { Connection, Platform, ProcessHandle } from "../platform/ports.ts";
import { type BinaryWatcher, watchBinary } from "./binary-watch.ts";
import type { SuspendedChannel } from "./control-channel.ts";
import type { BackendControl } from "./control-requests.ts";
import { createDrain, type Drain } from "./drain-backend.ts";
import { type EndpointSocket, watchEndpointSocket } from "./endpoint-socket.ts";
import type { HandoffWay } from "./handoff-way.ts";
import { watchIdle } from "./idle-watch.ts";
import { endTree, killTree } from "./kill-tree.ts";
import type { Launch } from "./launch.ts";
import { createLiveness, type Liveness } from "./liveness.ts";
import type { Crash } from "./reports.ts";

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
  /** A newer one serves its key: it takes no new client, and ends when nobody uses it any more. */
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

export interface BackendOptions {
  readonly platform: Platform;
  readonly key: BackendKey;
  readonly definition: ServiceDefinition;
  readonly launch: Launch;
  readonly registry: LaunchRegistry;
  readonly onTransition: (backend: LaunchedBackend, event: BackendEvent, from: BackendState) => void;
}

/** How long the end of a killed process is waited for. */
const KILL_PATIENCE_MS = 2000;

/**
 * Waits until the launch is ready and returns the running backend. Consumes `options.launch`, also on failure.
 *
 * @throws BrokerError what made the launch fail; by then everything it started has been killed
 */
export async function bringUp(options: BackendOptions): Promise<LaunchedBackend> {
  const backend = createRunner(options);
  try {
    backend.launched();
    await backend.awaitReady();
    return backend;
  } catch (error) {
    backend.giveUp();
    await backend.ended;
    throw error;
  }
}

export interface Adoption {
  readonly identity: BackendIdentity;
  /** It gets no new client and ends when nobody uses it any more. */
  readonly drain: boolean;
  /** As the broker knew it that had it before. Default: it was used just now, by no Hello, and was not told to end. */
  readonly past?: BackendPast | undefined;
}

export interface BackendPast extends Pick<Backend, "lastActiveUnixMs" | "lastHelloUnixMs"> {
  /** It has been sent SIGTERM. */
  readonly terminated: boolean;
  /** Milliseconds until it is killed if it still lives; undefined: never. */
  readonly killInMs: number | undefined;
}

/**
 * Takes over a running backend of an earlier broker. Consumes `options.launch`, also when it throws: then the backend goes on
 * without a broker.
 */
export function takeOver(options: BackendOptions, adoption: Adoption): LaunchedBackend {
  return acquire((held) => {
    const backend = new BackendRunner(options);
    held.defer(() => backend.letGo());
    held.defer(() => options.registry.unpublish(backend, "withdrawn"));
    backend.adopt(adoption);
    return backend;
  });
}

/** What cannot even be begun with is ended: nothing else knows of the process. */
function createRunner(options: BackendOptions): BackendRunner {
  const { launch, platform } = options;
  return acquire((held) => {
    held.defer(() => launch.cleanUp());
    held.defer(() => endTree(platform.processes, launch.process, launch.search));
    return new BackendRunner(options);
  });
}

class BackendRunner implements LaunchedBackend {
  readonly key: BackendKey;
  readonly ended: Promise<void>;
  readonly adopted: boolean;
  definition: ServiceDefinition;
  lastActiveUnixMs: number;
  lastHelloUnixMs = 0;
  private life: BackendLife = UNBORN;
  private known: BackendIdentity | undefined;
  private socket: EndpointSocket | undefined;
  private readonly liveness: (socket: EndpointSocket | undefined) => Liveness;
  private stopDeadline: Timer | undefined;
  /** Monotonic; undefined when no stop deadline runs. */
  private killAtMs: number | undefined;
  private terminated = false;
  /** What happened while it was left alone; undefined when it is not. */
  private postponed: BackendEvent[] | undefined;
  private watches: { close(): void }[] = [];
  private binaryWatch: BinaryWatcher | undefined;
  private readonly drain: Drain;
  private resolveEnded: () => void = () => {};
  private readonly dying: Promise<void>[] = [];
  private readonly abort = new AbortController();

  constructor(private readonly options: BackendOptions) {
    this.key = options.key;
    this.adopted = options.launch.adopted;
    this.definition = options.definition;
    this.lastActiveUnixMs = Math.round(options.platform.clock.wallMs());
    this.ended = new Promise((resolve) => {
      this.resolveEnded = resolve;
    });
    this.liveness = createLiveness({
      platform: options.platform,
      process: options.launch.process,
      path: options.launch.endpoint.path,
      onCheck: () => this.binaryWatch?.used(),
    });
    this.drain = createDrain(options.platform.clock, options.launch, {
      refused: () => this.handle("quiesce-refused"),
      drained: () => this.handle("drained"),
    });
    // The end of the channel comes before the news of a death, and before a backend that stops by itself has taken its
    // endpoint away.
    options.launch.control.onEnd(() => {
      if (this.state === "running" && options.launch.process.isAlive() && !this.socket?.isSame())
        this.handle("withdrawn");
    });
  }

  get state(): BackendState {
    return this.life.state;
  }

  get identity(): BackendIdentity {
    if (this.known === undefined) throw new Error("a backend has no identity before it is ready");
    return this.known;
  }

  launched(): void {
    this.handle("launched");
    this.options.launch.process.onExit(() => this.handle("exited"));
    this.options.registry.started(this);
  }

  adopt({ identity, drain, past }: Adoption): void {
    this.known = identity;
    if (past !== undefined) {
      this.lastActiveUnixMs = past.lastActiveUnixMs;
      this.lastHelloUnixMs = past.lastHelloUnixMs;
      this.terminated = past.terminated;
      if (past.killInMs !== undefined) this.armStopDeadline(past.killInMs);
    }
    this.watchSocket();
    this.handle(drain ? "adopted-to-drain" : "adopted");
    this.options.launch.process.onExit(() => this.handle("exited"));
    this.options.registry.started(this);
  }

  async awaitReady(): Promise<void> {
    const identity = await this.options.launch.ready(this.abort.signal);
    if (this.state !== "spawning")
      throw new BrokerError("PROCESS_EXITED", "the backend ended at the moment it got ready");
    this.known = identity;
    this.watchSocket();
    this.handle("ready");
  }

  /** The launch failed, at whatever point. */
  giveUp(): void {
    this.handle(this.state === "spawning" ? "launch-failed" : "stop");
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

  supersede(): void {
    this.handle("replaced");
  }

  attachControl(pid: number, connection: Connection): boolean {
    const { process, control } = this.options.launch;
    const lives = this.state === "running" || this.state === "draining";
    if (!lives || pid !== process.pid || !process.isAlive()) return false;
    control.attach(connection);
    return true;
  }

  async suspend(): Promise<SuspendedBackend> {
    this.postponed ??= [];
    const { pid, lastHelloUnixMs, lastActiveUnixMs, terminated } = this;
    const { launch, platform } = this.options;
    const killInMs = this.killAtMs && Math.max(0, this.killAtMs - platform.clock.monotonicMs());
    const channel = await launch.control.suspend();
    return { endpoint: launch.endpoint.path, pid, lastHelloUnixMs, lastActiveUnixMs, terminated, killInMs, channel };
  }

  resume(): void {
    const events = this.postponed ?? [];
    this.postponed = undefined;
    this.options.launch.control.resume();
    for (const event of events) this.handle(event);
  }

  letGo(): void {
    this.postponed = [];
    runAll([
      () => this.unwatch(),
      () => this.socket?.close(),
      () => this.drain.close(),
      () => this.disarmStopDeadline(),
      () => this.options.launch.control.letGo(),
      // Two processes that rotate one log would overwrite what the other has just saved.
      () => this.options.launch.log.letGo(),
      () => this.options.launch.process.close(),
    ]);
  }

  handoffWay(): HandoffWay | undefined {
    return this.options.launch.handoffWay();
  }

  isServing(): boolean {
    return this.state === "running" && this.liveness(this.socket) === "serving";
  }

  handle(event: BackendEvent): void {
    if (this.postponed !== undefined) {
      this.postponed.push(event);
      return;
    }
    const from = this.life.state;
    const step = stepBackend(this.life, event);
    this.life = step;
    if (step.effects === undefined) return;
    // A backend that ends is cleaned up after, whatever else goes wrong with it.
    const failure = runAll([
      ...step.effects.map((effect) => () => this.run(effect, event)),
      () => {
        if (event === "exited" && from === "running") this.options.registry.crashed(this, this.crash());
      },
      () => this.options.onTransition(this, event, from),
      () => {
        if (step.state === "failed" || step.state === "absent") this.finish();
      },
    ]);
    if (failure !== undefined) throw failure.error;
  }

  private run(effect: BackendEffect, event: BackendEvent): void {
    const { launch, registry } = this.options;
    switch (effect) {
      case "publish":
        launch.record(this.identity, false);
        return registry.publish(this);
      case "unpublish":
        return registry.unpublish(this, event);
      case "watch":
        return this.watch();
      case "unwatch":
        return this.unwatch();
      case "quiesce":
        launch.record(this.identity, true);
        return this.drain.begin();
      case "quiesce-later":
        return this.drain.again();
      case "terminate":
        // A second SIGTERM means "at once" to many.
        if (!this.terminated) launch.process.signal("SIGTERM");
        this.terminated = true;
        return;
      case "arm-stop-deadline":
        return this.armStopDeadline(this.definition.exec.stopTimeoutMs);
      case "disarm-stop-deadline":
        return this.disarmStopDeadline();
      case "kill-tree":
        this.abort.abort(new BrokerError("PROCESS_EXITED", "the backend's process ended or the launch was given up"));
        return this.killTree();
      case "clean-up":
        this.drain.close();
        return launch.cleanUp();
    }
  }

  private armStopDeadline(ms: number): void {
    if (this.stopDeadline !== undefined) return;
    const { clock } = this.options.platform;
    this.killAtMs = clock.monotonicMs() + ms;
    this.stopDeadline = clock.schedule(ms, () => this.handle("stop-timeout"), { weak: true });
  }

  private disarmStopDeadline(): void {
    this.stopDeadline?.cancel();
    this.killAtMs = undefined;
  }

  private watch(): void {
    this.unwatch();
    const { launch, platform } = this.options;
    const { sha256 } = this.identity;
    const subject = {
      timeout: () => this.definition.idleTimeoutMs,
      lastHello: () => this.lastActiveUnixMs,
      control: launch.control,
      connections: launch.connections,
    };
    this.watches.push(watchIdle(platform.clock, subject, () => this.handle("idle")));
    if (sha256 === undefined) return;
    const path = binaryPathFor(this.definition, this.key.version);
    this.binaryWatch = watchBinary(platform, { path, sha256 }, () => this.handle("replaced"));
    this.watches.push(this.binaryWatch);
  }

  private unwatch(): void {
    for (const watch of this.watches.splice(0)) watch.close();
  }

  private crash(): Crash {
    const { process, log } = this.options.launch;
    return { exit: process.exitStatus ? exitText(process.exitStatus) : "unknown", logTail: log.tail() };
  }

  private killTree(): void {
    const { launch, platform } = this.options;
    const { process } = launch;
    this.dying.push(exitOf(process));
    for (const descendant of killTree(platform.processes, process, launch.search))
      this.dying.push(exitOf(descendant).finally(() => descendant.close()));
  }

  /** The kernel may take a moment over a killed process, and for one stuck in a system call more than we wait. */
  private finish(): void {
    this.socket?.close();
    const { clock } = this.options.platform;
    const patience = clock.schedule(KILL_PATIENCE_MS, this.resolveEnded, { weak: true });
    void Promise.all(this.dying).then(() => {
      patience.cancel();
      this.resolveEnded();
    });
  }

  private watchSocket(): void {
    this.socket = watchEndpointSocket(this.options.platform.files, this.identity.endpoint.path);
  }
}

function exitOf(process: ProcessHandle): Promise<void> {
  return new Promise((resolve) => process.onExit(resolve));
}
