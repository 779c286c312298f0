/** Runs the lifecycle table of one backend, launched or adopted: turns events into effects, and effects into system calls. */
import { runAll } from "../../base/disposal-stack.ts";
import { BrokerError } from "../../base/errors.ts";
import type { BackendKey } from "../../model/backend-key.ts";
import {
  type BackendEffect,
  type BackendEvent,
  type BackendLife,
  type BackendState,
  stepBackend,
  UNBORN,
} from "../../model/backend-state.ts";
import { exitText } from "../../model/exit-status.ts";
import type { BackendIdentity } from "../../model/identity.ts";
import { binaryPathFor, type ServiceDefinition } from "../../model/service-definition.ts";
import type { Connection } from "../../platform/ports/index.ts";
import type { BackendControl } from "../control/control-requests.ts";
import type { Crash } from "../events/reports.ts";
import type { HandoffWay } from "../handoff/handoff-transport.ts";
import { exitOf, killTree } from "../launch/kill-tree.ts";
import type { StartedLaunch } from "../launch/launcher.ts";
import type { Adoption, BackendOptions, LaunchedBackend, SuspendedBackend } from "./backend.ts";
import { type BinaryWatcher, watchBinary } from "./binary-watch.ts";
import { createDrain, type Drain } from "./drain.ts";
import { watchIdle } from "./idle-watch.ts";
import { createLiveness, type Liveness } from "./liveness.ts";
import { type EndpointSocket, watchEndpointSocket } from "./socket-watch.ts";
import { createStopDeadline, type StopDeadline } from "./stop-deadline.ts";

/** How long the end of a killed process is waited for. */
const KILL_PATIENCE_MS = 2000;

export class BackendRunner implements LaunchedBackend {
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
  private readonly stopDeadline: StopDeadline;
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
    this.adopted = options.resources.adopted;
    this.definition = options.definition;
    this.lastActiveUnixMs = Math.round(options.platform.clock.wallMs());
    this.ended = new Promise((resolve) => {
      this.resolveEnded = resolve;
    });
    this.stopDeadline = createStopDeadline(options.platform.clock, () => this.handle("stop-timeout"));
    this.liveness = createLiveness({
      platform: options.platform,
      process: options.resources.process,
      path: options.resources.endpoint.path,
      onCheck: () => this.binaryWatch?.used(),
    });
    this.drain = createDrain(options.platform.clock, options.resources, {
      refused: () => this.handle("quiesce-refused"),
      drained: () => this.handle("drained"),
    });
    // The end of the channel comes before the news of a death, and before a backend that stops by itself has taken its
    // endpoint away.
    options.resources.control.onEnd(() => {
      if (this.state === "running" && options.resources.process.isAlive() && !this.socket?.isSame())
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
    this.options.resources.process.onExit(() => this.handle("exited"));
    this.options.registry.started(this);
  }

  adopt({ identity, drain, past }: Adoption): void {
    this.known = identity;
    if (past !== undefined) {
      this.lastActiveUnixMs = past.lastActiveUnixMs;
      this.lastHelloUnixMs = past.lastHelloUnixMs;
      this.terminated = past.terminated;
      if (past.killInMs !== undefined) this.stopDeadline.arm(past.killInMs);
    }
    this.watchSocket();
    this.handle(drain ? "adopted-to-drain" : "adopted");
    this.options.resources.process.onExit(() => this.handle("exited"));
    this.options.registry.started(this);
  }

  async awaitReady(ready: StartedLaunch["ready"]): Promise<void> {
    const identity = await ready(this.abort.signal);
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
    return this.options.resources.process.pid;
  }

  get control(): BackendControl {
    return this.options.resources.control;
  }

  supersede(): void {
    this.handle("replaced");
  }

  attachControl(pid: number, connection: Connection): boolean {
    const { process, control } = this.options.resources;
    const lives = this.state === "running" || this.state === "draining";
    if (!lives || pid !== process.pid || !process.isAlive()) return false;
    control.attach(connection);
    return true;
  }

  async suspend(): Promise<SuspendedBackend> {
    this.postponed ??= [];
    const { pid, lastHelloUnixMs, lastActiveUnixMs, terminated } = this;
    const { resources } = this.options;
    const killInMs = this.stopDeadline.remainingMs();
    const channel = await resources.control.suspend();
    return { endpoint: resources.endpoint.path, pid, lastHelloUnixMs, lastActiveUnixMs, terminated, killInMs, channel };
  }

  resume(): void {
    const events = this.postponed ?? [];
    this.postponed = undefined;
    this.options.resources.control.resume();
    for (const event of events) this.handle(event);
  }

  letGo(): void {
    this.postponed = [];
    runAll([
      () => this.unwatch(),
      () => this.socket?.close(),
      () => this.drain.close(),
      () => this.stopDeadline.disarm(),
      () => this.options.resources.control.letGo(),
      // Two processes that rotate one log would overwrite what the other has just saved.
      () => this.options.resources.log.letGo(),
      () => this.options.resources.process.close(),
    ]);
  }

  handoffWay(): HandoffWay | undefined {
    return this.options.resources.handoffWay();
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
    const { resources, registry } = this.options;
    switch (effect) {
      case "publish":
        resources.record(this.identity, false);
        return registry.publish(this);
      case "unpublish":
        return registry.unpublish(this, event);
      case "watch":
        return this.watch();
      case "unwatch":
        return this.unwatch();
      case "quiesce":
        resources.record(this.identity, true);
        return this.drain.begin();
      case "quiesce-later":
        return this.drain.again();
      case "terminate":
        // A second SIGTERM means "at once" to many.
        if (!this.terminated) resources.process.askToEnd();
        this.terminated = true;
        return;
      case "arm-stop-deadline":
        return this.stopDeadline.arm(this.definition.exec.stopTimeoutMs);
      case "disarm-stop-deadline":
        return this.stopDeadline.disarm();
      case "kill-tree":
        this.abort.abort(new BrokerError("PROCESS_EXITED", "the backend's process ended or the launch was given up"));
        return this.killTree();
      case "clean-up":
        this.drain.close();
        return resources.cleanUp();
    }
  }

  private watch(): void {
    this.unwatch();
    const { resources, platform } = this.options;
    const { sha256 } = this.identity;
    const subject = {
      timeout: () => this.definition.idleTimeoutMs,
      lastHello: () => this.lastActiveUnixMs,
      control: resources.control,
      connections: resources.connections,
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
    const { process, log } = this.options.resources;
    return { exit: process.exitStatus ? exitText(process.exitStatus) : "unknown", logTail: log.tail() };
  }

  private killTree(): void {
    const { resources, platform } = this.options;
    const { process } = resources;
    this.dying.push(exitOf(process));
    for (const descendant of killTree(platform.processes, process, resources.search))
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
    this.socket = watchEndpointSocket(this.options.platform, this.identity.endpoint.path);
  }
}
