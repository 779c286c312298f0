/**
 * A running broker: claims its endpoint, accepts, serves every connection by itself, and ends in one way whatever the
 * reason. This file only puts the parts together.
 *
 * Invariants: no connection waits for another; a peer can end nothing but its own connection; the socket file at the
 * endpoint is ours or we are on our way out.
 */
import { Deadline } from "../base/clock.ts";
import { runAll } from "../base/disposal-stack.ts";
import { BrokerError, reasonOf } from "../base/errors.ts";
import { brokerErrorFrom } from "../base/system-error.ts";
import { definitionDifferences } from "../model/definition-differences.ts";
import { instanceId } from "../model/names.ts";
import type { PlaceInputs } from "../model/places.ts";
import { createRateLimiter, HELLOS_PER_SECOND } from "../model/rate-limit.ts";
import { type Refusal, refuse } from "../model/refusal.ts";
import type { ServiceDefinition } from "../model/service-definition.ts";
import type { Connection } from "../platform/ports.ts";
import { createDefinitionStore, type DefinitionStore, type DefinitionStoreOptions } from "../store/definition-store.ts";
import { createLifecycleLog } from "../store/lifecycle-log.ts";
import { MAX_FRAME_BODY_BYTES } from "../wire/limits.ts";
import { type Acceptor, createAcceptor } from "./acceptor.ts";
import { type Activation, createActivation } from "./activation.ts";
import { handleAdmin } from "./admin-route.ts";
import { takeAttach } from "./attach-route.ts";
import { createBackendHealth } from "./backend-health.ts";
import { adoptLeftovers, createSupply, type SupplyOptions } from "./backend-supply.ts";
import type { CloseReason } from "./broker-event.ts";
import type { BrokerSnapshot } from "./broker-snapshot.ts";
import { createByteQuota } from "./byte-quota.ts";
import { checkBrokerOptions, checkRestartOptions, checkStopOptions } from "./check-options.ts";
import type { BrokerAddress } from "./claim-endpoint.ts";
import { createConnections } from "./connections.ts";
import { diagnose } from "./diagnose.ts";
import { createEndpointKeeper, type EndpointKeeper } from "./endpoint-keeper.ts";
import { createEventListener, type EventListener, ThrownByListener } from "./event-listener.ts";
import { type BrokerEvents, createBrokerEvents } from "./events.ts";
import { createHandoffService } from "./handoff.ts";
import { createHelloRoute, type HelloRoute } from "./hello-route.ts";
import { watchBrokerIdle } from "./idle-exit.ts";
import { createLifecycleRecorder, type LifecycleRecorder } from "./lifecycle-recorder.ts";
import { createBrokerMetrics } from "./metrics.ts";
import type { Broker, BrokerOptions, StopOptions } from "./options.ts";
import { openPredecessor, type Predecessor } from "./predecessor.ts";
import type { Bequests, Inheritance } from "./received-state.ts";
import { type RegisteredServing, verifyRegistered } from "./registered-backend.ts";
import { releaseHandles } from "./release-handles.ts";
import type { RestartReport } from "./reports.ts";
import { createRestart, type Restart } from "./restart.ts";
import type { ServeOptions } from "./serve-connection.ts";
import { takeSnapshot } from "./snapshot.ts";
import { brokerAddress, recordDirectories, removeEmptyFallbacks } from "./socket-places.ts";
import { launchSuccessor } from "./successor.ts";
import { sweepEndpoints } from "./sweep-endpoints.ts";

/** From accept to the last byte of the request; the reference's later versions use the same. */
const REQUEST_TIMEOUT_MS = 30_000;
const REPLY_TIMEOUT_MS = 5_000;
/** Work in flight when the broker ends. */
const DRAIN_MS = 10_000;
/** A peer that has connected but not asked yet when the broker ends. */
const DRAIN_READING_MS = 250;
/** On top, while launches are cut short: their processes have to die before the Hellos that wait can be answered. */
const DRAIN_REPLY_MS = 3_000;
const RESTART_MS = 60_000;
/** Frames above the Hello limit held at one time: four of the largest. */
const LARGE_FRAME_QUOTA_BYTES = 4 * MAX_FRAME_BODY_BYTES;

/**
 * Starts a broker and resolves once it accepts. It is a guest in its process: a backend that it launches inherits every
 * descriptor of the program's that is not close-on-exec.
 *
 * @throws BrokerError OPTION_INVALID, PLATFORM_UNSUPPORTED (no /proc), BROKER_ALREADY_RUNNING, DIRECTORY_INSECURE, PATH_TOO_LONG and others; nothing is left behind. What `onEvent` throws before the broker has started, as it is
 */
export async function startBroker(options: BrokerOptions): Promise<Broker> {
  checkBrokerOptions(options);
  try {
    // It could prove no backend and watch none.
    options.platform.processes.requireProc();
    const broker = new RunningBroker(options);
    try {
      await broker.start();
    } catch (error) {
      broker.giveUp();
      throw error;
    }
    return broker;
  } catch (error) {
    throw error instanceof ThrownByListener ? error.error : brokerErrorFrom(error);
  }
}

class RunningBroker implements Broker {
  readonly endpoint: string;
  readonly closed: Promise<CloseReason>;
  private readonly platform: BrokerOptions["platform"];
  private readonly startedMs: number;
  private readonly connections;
  private readonly listener: EventListener;
  private readonly recorder: LifecycleRecorder;
  private readonly events: BrokerEvents;
  private readonly metrics = createBrokerMetrics();
  private readonly health;
  private readonly activation: Activation;
  private readonly serve: ServeOptions;
  private readonly keeper: EndpointKeeper;
  private readonly restarts: Restart;
  private readonly definitions: DefinitionStore;
  private readonly hello: HelloRoute;
  private readonly acceptor: Acceptor;
  private idleWatch: { close(): void } | undefined;
  private registered: RegisteredServing | undefined;
  /** Set while the process whose place this one took may still relay requests. */
  private predecessor: { readonly gone: Promise<void> } | undefined;
  /** Another process is the broker now. */
  private gone = false;
  private stopping: { reason: CloseReason; done: Promise<void> } | undefined;
  private resolveClosed: (reason: CloseReason) => void = () => {};

  constructor(private readonly options: BrokerOptions) {
    const { platform } = options;
    this.platform = platform;
    this.endpoint = options.endpoint;
    this.startedMs = platform.clock.monotonicMs();
    this.connections = createConnections(platform.clock);
    this.health = createBackendHealth(platform.clock);
    this.listener = createEventListener(options.onEvent);
    this.recorder = createLifecycleRecorder({
      clock: platform.clock,
      log: createLifecycleLog({ platform, directory: options.logDirectory }),
      brokerPid: platform.processes.selfPid,
      instance: () => this.instance(),
      onFault: (path, fault) => this.events.lifecycleFault(path, fault),
      onResumed: (path, lost) => this.events.lifecycleResumed(path, lost),
    });
    this.events = createBrokerEvents(platform.clock, (event) => {
      this.listener.tell(event);
      this.recorder.record(event);
    });
    this.closed = new Promise((resolve) => {
      this.resolveClosed = resolve;
    });
    this.keeper = this.createKeeper();
    this.activation =
      options.registered === undefined
        ? createSupply(this.supplyOptions())
        : createActivation({ clock: platform.clock });
    this.definitions = this.createDefinitions({
      watch: true,
      onDecoded: (...decoded) => this.definitionDecoded(...decoded),
    });
    this.hello = this.createHello();
    this.restarts = this.createRestarts();
    this.serve = this.createServeOptions();
    this.acceptor = createAcceptor({
      platform,
      connections: this.connections,
      events: this.events,
      listener: () => this.keeper.listener,
      serve: () => this.serve,
      maxConnections: options.maxConnections,
      isStopping: () => this.stopping !== undefined || this.gone,
      onLast: () => void this.relaysOver().then(() => this.stop({ reason: "max-connections" })),
    });
  }

  async start(): Promise<void> {
    const { registered } = this.options;
    if (registered !== undefined) {
      this.registered = await verifyRegistered(this.platform, this.createDefinitions({}), registered);
      this.activation.register(this.registered);
    }
    const { predecessorFd } = this.options;
    if (predecessorFd === undefined) await this.begin();
    else await this.takeOver(predecessorFd);
  }

  /** It has not begun, and will not: the program that goes on without it keeps neither address nor lock. */
  giveUp(): void {
    runAll([
      // What was to be inherited is the other process's again.
      () => this.options.predecessorFd === undefined && this.keeper.close(),
      // Backends of an earlier broker are left to the next one.
      () => this.activation.letGo(),
      () => this.closeRest(),
      () => this.options.predecessorFd === undefined && removeEmptyFallbacks(this.platform.files, this.places()),
    ]);
  }

  async restart(options: { timeoutMs?: number | undefined } = {}): Promise<RestartReport> {
    checkRestartOptions(options);
    const refused =
      this.stopping !== undefined ? "it is shutting down" : this.gone ? "it has been replaced" : undefined;
    if (refused !== undefined) throw new BrokerError("RESTART_FAILED", `the broker cannot be restarted: ${refused}`);
    return this.restarts.run(options.timeoutMs ?? RESTART_MS);
  }

  async stop(options: StopOptions): Promise<void> {
    checkStopOptions(options);
    this.stopping ??= { reason: options.reason, done: this.shutDown(options) };
    return this.stopping.done;
  }

  /** At an address that is free. Whatever fails ends the start. */
  private async begin(): Promise<void> {
    await this.keeper.claim();
    if (this.options.registered === undefined) this.adoptLeftovers(undefined);
    this.keeper.open();
    this.events.started(this.endpoint, this.instance());
    this.listener.started();
    this.launchAhead();
    this.recorder.flush();
    this.watchIdle();
  }

  /** In the place of another broker, with all it has. From the moment that this process is the broker nothing ends the start. */
  private async takeOver(predecessorFd: number): Promise<void> {
    const predecessor = openPredecessor(this.platform, predecessorFd);
    let inheritance: Inheritance;
    try {
      // What the listener has thrown so far ends the start while it still can.
      this.listener.started();
      inheritance = await predecessor.inherit(this.address());
    } catch (error) {
      await predecessor.failed(error);
      throw error;
    }
    const { claim, accepted, lastConnectionId, bequests, faults } = inheritance;
    for (const { step, error } of faults) this.events.restartFault(step, error);
    this.keeper.inherit(claim);
    this.acceptor.accepted = accepted;
    this.hello.lastConnectionId = lastConnectionId;
    this.tolerate("taking over requests", () => this.followPredecessor(predecessor));
    if (this.options.registered === undefined)
      this.tolerate("finding its backends", () => this.adoptLeftovers(bequests));
    if (!this.tolerate("accepting", () => this.keeper.open())) this.loseEndpoint("connections cannot be accepted");
    void predecessor.serving();
    this.tolerate("telling of it", () => {
      this.events.started(this.endpoint, this.instance(), { backends: bequests.count });
      this.recorder.flush();
    });
    this.tolerate("watching for idleness", () => this.watchIdle());
  }

  /** For what comes after there is no way back. False when it failed, which has been said. */
  private tolerate(step: string, work: () => void): boolean {
    const failure = runAll([work]);
    if (failure !== undefined) this.events.restartFault(step, failure.error);
    return failure === undefined;
  }

  private followPredecessor(predecessor: Predecessor): void {
    const gone = predecessor
      .takeRequests((...request) => this.acceptor.takeOver(...request))
      .then((fault) => {
        this.predecessor = undefined;
        if (fault !== undefined) this.events.restartFault("taking over requests", fault);
      });
    this.predecessor = { gone };
  }

  private loseEndpoint(reason: string, options: Pick<StopOptions, "withBackends"> = {}): void {
    this.events.lostEndpoint(this.endpoint, reason);
    void this.stop({ reason: "lost-endpoint", ...options });
  }

  private launchAhead(): void {
    for (const wanted of this.options.launch ?? [])
      void this.hello.launchAhead(wanted).then((refusal) => {
        if (refusal !== undefined) this.events.notLaunchedAhead(wanted, refusal);
      });
  }

  private adoptLeftovers(inherited: Bequests | undefined): void {
    let directories: readonly string[] = [];
    try {
      directories = recordDirectories(this.platform.files, this.places());
      adoptLeftovers(this.supplyOptions(), this.activation, { directories, inherited });
    } catch (error) {
      // Nobody else is there any more to serve.
      if (inherited === undefined) throw error;
      inherited.close();
      this.events.leftoversUnread(directories.join(", "), error);
    }
    for (const directory of directories)
      try {
        const swept = sweepEndpoints(this.platform, directory);
        if (swept > 0) this.events.swept(swept);
      } catch {
        // Tidying up is no reason to fail; the next start tries again.
      }
  }

  /** With the name that the path was made of, when it was made of one. */
  private address(): BrokerAddress {
    return brokerAddress(this.platform, this.places(), { path: this.endpoint, instance: this.options.instance });
  }

  // ------------------------------------------------------------------------------------------------ composition

  private createKeeper(): EndpointKeeper {
    const { platform, endpoint } = this;
    return createEndpointKeeper({
      platform,
      endpoint: this.address(),
      onListener: () => this.acceptor.begin(),
      onRebound: () => this.events.rebound(endpoint),
      // No client can reach this broker or find its backends any more.
      onLost: (reason) => this.loseEndpoint(reason, { withBackends: true }),
    });
  }

  private supplyOptions(): SupplyOptions {
    const { platform, options, events, metrics, health, endpoint } = this;
    const { env, logDirectory } = options;
    const isStopping = (): boolean => this.stopping !== undefined;
    return { platform, events, metrics, health, endpoint, env, logDirectory, isStopping };
  }

  private watchIdle(): void {
    const { idleExitMs } = this.options;
    if (idleExitMs === undefined) return;
    this.idleWatch = watchBrokerIdle(
      this.platform.clock,
      idleExitMs,
      () => ({
        accepted: this.acceptor.accepted,
        busy:
          this.connections.count > 0 ||
          this.activation.launching > 0 ||
          this.activation.alive > 0 ||
          this.predecessor !== undefined,
      }),
      () => void this.stop({ reason: "idle" }),
    );
  }

  private createHello(): HelloRoute {
    const { clock } = this.platform;
    const handoffs = createHandoffService({
      platform: this.platform,
      fdPressure: () => this.acceptor.demoted,
      onOutcome: (report) => {
        this.metrics.handoff(report);
        this.events.handoff(report);
      },
      onSkip: (key, reason) => this.events.handoffSkipped(key, reason),
    });
    return createHelloRoute({
      clock,
      activation: this.activation,
      definitions: this.definitions,
      rateLimiter: createRateLimiter(this.options.hellosPerSecond ?? HELLOS_PER_SECOND),
      instance: this.options.instance,
      handoffs,
    });
  }

  private createRestarts(): Restart {
    const { platform, keeper, connections, activation, events } = this;
    return createRestart({
      clock: platform.clock,
      launch: () => {
        const { successor } = this.options;
        if (successor !== undefined) return launchSuccessor(platform, successor());
        throw new BrokerError(
          "RESTART_FAILED",
          "this broker is part of another program, which is to be restarted itself",
        );
      },
      keeper,
      connections,
      activation,
      counts: () => ({ accepted: this.acceptor.accepted, lastConnectionId: this.hello.lastConnectionId }),
      onBegin: () => events.restarting(),
      onFailed: (error) => events.restartFailed(error, this.gone),
      onGone: () => {
        this.gone = true;
      },
      onFault: (step, error) => events.restartFault(step, error),
      onDeaf: (error) => this.loseEndpoint(`connections cannot be accepted: ${reasonOf(error)}`),
      onLeft: (report) => {
        events.restarted(report);
        void this.leave();
      },
    });
  }

  private createServeOptions(): ServeOptions {
    const { clock, processes } = this.platform;
    const requestTimeoutMs =
      positiveInteger(this.options.env.RUNNING_PROCESS_BROKER_HELLO_TIMEOUT_MS) ?? REQUEST_TIMEOUT_MS;
    const admin = {
      snapshot: () => this.snapshot(),
      diagnose: (snapshot: BrokerSnapshot, outputPath: string) =>
        diagnose(
          {
            platform: this.platform,
            places: this.places(),
            env: this.options.env,
            directory: this.options.logDirectory,
          },
          snapshot,
          outputPath,
        ),
      onShutdown: ({ drainMs, withBackends }: { drainMs: number | undefined; withBackends: boolean }) =>
        void this.stop({ reason: "requested", withBackends, ...(drainMs !== undefined && { drainMs }) }),
      releaseHandles: (request: { path: string; timeoutMs: number | undefined }) =>
        releaseHandles(clock, this.activation, request),
    };
    const attach = {
      attachControl: this.activation.attachControl.bind(this.activation),
      isClosed: () => this.stopping !== undefined,
    };
    return {
      hello: this.hello,
      relay: (connection, frame) => this.restarts.relay(connection, frame),
      admin: (frame, connection) =>
        handleAdmin({ ...admin, restart: (request) => this.restartFor(connection, request) }, frame),
      attach: (frame, connection) => takeAttach(attach, frame, connection),
      closedToHellos: () => this.closedToHellos(),
      owner: String(processes.selfUid),
      largeFrames: createByteQuota(LARGE_FRAME_QUOTA_BYTES),
      requestDeadline: () => Deadline.after(clock, requestTimeoutMs),
      replyDeadline: () => Deadline.after(clock, REPLY_TIMEOUT_MS),
      onRequest: (connection) => this.connections.markWorking(connection),
      onEnd: (connection) => this.connections.remove(connection),
      now: () => clock.monotonicMs(),
      onOutcome: (outcome) => {
        this.metrics.connection(outcome);
        this.events.connection(outcome);
      },
    };
  }

  private createDefinitions(options: DefinitionStoreOptions): DefinitionStore {
    return createDefinitionStore(this.platform.files, this.options.definitionDirectory, options);
  }

  private definitionDecoded(definition: ServiceDefinition, before: ServiceDefinition | undefined): void {
    const changes = before && definitionDifferences(before, definition);
    if (changes?.length !== 0) this.events.definition(definition, changes);
  }

  private places(): PlaceInputs {
    const { env, home } = this.options;
    return { os: this.platform.host.os, env, uid: this.platform.processes.selfUid, home: home ?? env.HOME ?? "" };
  }

  private instance(): string {
    const { instance, registered } = this.options;
    if (instance !== undefined) return instanceId(instance);
    return registered === undefined ? "launch" : (this.activation.backends()[0]?.key.instanceId ?? "launch");
  }

  // ------------------------------------------------------------------------------------------------ requests

  private restartFor(connection: Connection, request: { timeoutMs: number | undefined }): Promise<RestartReport> {
    // Its answer is the last one that this process gives.
    this.connections.markWaiting(connection);
    return this.restart(request);
  }

  private closedToHellos(): Refusal | undefined {
    if (this.stopping !== undefined) return refuse("SHUTTING_DOWN", "broker is shutting down");
    // Only for what could not be relayed to it.
    if (this.gone) return refuse("SHUTTING_DOWN", "another process is the broker now");
    return this.acceptor.refusal();
  }

  // ------------------------------------------------------------------------------------------------ the end

  private async shutDown(options: StopOptions): Promise<void> {
    // Runs on after the current event, so that `this.stopping` is set before anything looks at it.
    await undefined;
    await this.restarts.abort();
    // What would be relayed is cut off; everything else is the other process's.
    if (this.gone) return this.connections.drain({ readingMs: 0, totalMs: DRAIN_MS });
    this.events.stopping(options.reason);
    // Children and their deadlines do not keep a process alive; ending them properly must.
    const alive = this.platform.clock.schedule(Number.POSITIVE_INFINITY, () => {});
    const drainMs = options.drainMs ?? DRAIN_MS;
    const launches = this.platform.clock.schedule(drainMs, () => void this.activation.stop("launching"));
    const replyMs = this.activation.launching > 0 ? DRAIN_REPLY_MS : 0;
    await Promise.all([
      this.connections.drain({ readingMs: Math.min(DRAIN_READING_MS, drainMs), totalMs: drainMs + replyMs }),
      this.activation.settled(),
    ]);
    launches.cancel();
    this.idleWatch?.close();
    this.keeper.close();
    // Peers that came in while the rest was ending.
    await this.connections.drain({ readingMs: 0, totalMs: DRAIN_READING_MS });
    await this.activation.stop(options.withBackends ? "all" : "launching");
    this.events.stopped(
      options.reason,
      this.activation.backends().map((backend) => backend.identity.pid),
    );
    // Those that keep running are the next broker's.
    this.activation.letGo();
    removeEmptyFallbacks(this.platform.files, this.places());
    this.closeRest();
    alive.cancel();
    this.resolveClosed(options.reason);
  }

  /** Another process is the broker; what is left here are connections whose requests have not been read. */
  private async leave(): Promise<void> {
    this.idleWatch?.close();
    await this.relaysOver();
    this.closeRest();
    this.resolveClosed("replaced");
  }

  private closeRest(): void {
    runAll([() => this.registered?.close(), () => this.definitions.close(), () => this.recorder.close()]);
  }

  /** Nothing is open here, and nothing comes any more from the process whose place this one took. */
  private async relaysOver(): Promise<void> {
    await this.predecessor?.gone;
    await this.connections.idle();
  }

  private snapshot(): BrokerSnapshot {
    const { platform, endpoint, startedMs, acceptor, activation, connections } = this;
    return takeSnapshot({
      platform,
      endpoint,
      startedMs,
      activation,
      connectionsOpen: connections.count,
      fdDemoted: acceptor.demoted,
      instance: this.instance(),
      shuttingDown: this.stopping !== undefined,
      definitions: { directory: this.options.definitionDirectory, source: this.options.definitionDirectorySource },
      health: this.health,
      recorder: this.recorder,
      logDirectory: this.options.logDirectory,
      metrics: this.metrics,
    });
  }
}

function positiveInteger(text: string | undefined): number | undefined {
  const number = text === undefined || !/^\s*\d{1,9}\s*$/.test(text) ? 0 : Number(text);
  return number > 0 ? number : undefined;
}
