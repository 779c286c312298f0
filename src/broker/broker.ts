/**
 * A running broker: claims its endpoint, accepts, serves every connection by itself, and ends in one way whatever the
 * reason. This file only puts the parts together.
 *
 * Invariants: no connection waits for another; a peer can end nothing but its own connection; the socket file at the
 * endpoint is ours or we are on our way out.
 */
import { Deadline } from "../base/clock.ts";
import { BrokerError } from "../base/errors.ts";
import { definitionDifferences } from "../model/definition-differences.ts";
import { createFdGuard, FD_PRESSURE_PAUSE_MS, FD_PRESSURE_RETRY_MS } from "../model/fd-guard.ts";
import { instanceId } from "../model/names.ts";
import { type PlaceInputs, runtimeDirectory } from "../model/places.ts";
import { createRateLimiter, HELLOS_PER_SECOND } from "../model/rate-limit.ts";
import { type Refusal, refuse } from "../model/refusal.ts";
import type { ServiceDefinition } from "../model/service-definition.ts";
import type { AcceptError, Connection } from "../platform/ports.ts";
import { createDefinitionStore, type DefinitionStore, type DefinitionStoreOptions } from "../store/definition-store.ts";
import { createLifecycleLog } from "../store/lifecycle-log.ts";
import { MAX_FRAME_BODY_BYTES } from "../wire/limits.ts";
import { type Activation, createActivation } from "./activation.ts";
import { handleAdmin } from "./admin-route.ts";
import { takeAttach } from "./attach-route.ts";
import { createBackendHealth } from "./backend-health.ts";
import { adoptLeftovers, createSupply, type SupplyOptions } from "./backend-supply.ts";
import { createByteQuota } from "./byte-quota.ts";
import { createConnections } from "./connections.ts";
import { diagnose } from "./diagnose.ts";
import { createEndpointKeeper, type EndpointKeeper } from "./endpoint-keeper.ts";
import { type BrokerEvents, createBrokerEvents } from "./events.ts";
import { createHandoffService } from "./handoff.ts";
import { createHelloRoute } from "./hello-route.ts";
import { watchBrokerIdle } from "./idle-exit.ts";
import { createLifecycleRecorder, type LifecycleRecorder } from "./lifecycle-recorder.ts";
import { createBrokerMetrics } from "./metrics.ts";
import type { Broker, BrokerOptions, CloseReason, StopOptions } from "./options.ts";
import { verifyRegistered } from "./registered-backend.ts";
import { releaseHandles } from "./release-handles.ts";
import { type ServeOptions, serveConnection } from "./serve-connection.ts";
import { takeSnapshot } from "./snapshot.ts";
import type { BrokerSnapshot } from "./status.ts";
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
/** As REQUEST_TIMEOUT_MS, for the peer that holds the last descriptor: until it is gone nobody else is answered. */
const PRESSED_REQUEST_TIMEOUT_MS = 1_000;
/** Frames above the Hello limit held at one time: four of the largest. */
const LARGE_FRAME_QUOTA_BYTES = 4 * MAX_FRAME_BODY_BYTES;

/**
 * Starts a broker and resolves once it accepts.
 *
 * @throws BrokerError OPTION_INVALID, BROKER_ALREADY_RUNNING, DIRECTORY_INSECURE, PATH_TOO_LONG and others; nothing is left behind
 */
export async function startBroker(options: BrokerOptions): Promise<Broker> {
  if (
    options.maxConnections !== undefined &&
    !(Number.isInteger(options.maxConnections) && options.maxConnections > 0)
  ) {
    throw new BrokerError("OPTION_INVALID", "max_connections must be greater than zero");
  }
  const broker = new RunningBroker(options);
  await broker.start();
  return broker;
}

class RunningBroker implements Broker {
  readonly endpoint: string;
  readonly closed: Promise<CloseReason>;
  private readonly platform: BrokerOptions["platform"];
  private readonly startedMs: number;
  private readonly connections;
  private readonly fdGuard = createFdGuard();
  private readonly recorder: LifecycleRecorder;
  private readonly events: BrokerEvents;
  private readonly metrics = createBrokerMetrics();
  private readonly health;
  private readonly activation: Activation;
  private readonly serve: ServeOptions;
  private readonly keeper: EndpointKeeper;
  private idleWatch: { close(): void } | undefined;
  private accepted = 0;
  private stopping: { reason: CloseReason; done: Promise<void> } | undefined;
  private resolveClosed: (reason: CloseReason) => void = () => {};

  constructor(private readonly options: BrokerOptions) {
    const { platform } = options;
    this.platform = platform;
    this.endpoint = options.endpoint;
    this.startedMs = platform.clock.monotonicMs();
    this.connections = createConnections(platform.clock);
    this.health = createBackendHealth(platform.clock);
    const tell = options.onEvent ?? (() => {});
    this.recorder = createLifecycleRecorder({
      clock: platform.clock,
      log: createLifecycleLog({ platform, directory: options.logDirectory }),
      brokerPid: platform.processes.selfPid,
      instance: () => this.instance(),
      onFault: (path, fault) => this.events.lifecycleFault(path, fault),
      onResumed: (path, lost) => this.events.lifecycleResumed(path, lost),
    });
    this.events = createBrokerEvents(platform.clock, (event) => {
      tell(event);
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
    this.serve = this.createServeOptions();
  }

  async start(): Promise<void> {
    const { registered } = this.options;
    if (registered !== undefined)
      this.activation.register(await verifyRegistered(this.platform, this.definitions({}), registered));
    await this.keeper.claim();
    const directory = runtimeDirectory(this.places());
    if (directory !== undefined && registered === undefined) {
      adoptLeftovers(this.supplyOptions(), this.activation, directory);
      void sweepEndpoints(this.platform, directory).then(
        (swept) => swept > 0 && this.events.swept(swept),
        // Tidying up is no reason to fail; the next start tries again.
        () => {},
      );
    }
    this.keeper.open();
    this.events.started(this.endpoint, this.instance());
    this.recorder.flush();
    this.watchIdle();
  }

  stop(options: StopOptions): Promise<void> {
    this.stopping ??= { reason: options.reason, done: this.shutDown(options) };
    return this.stopping.done;
  }

  // ------------------------------------------------------------------------------------------------ composition

  private createKeeper(): EndpointKeeper {
    const { platform, endpoint } = this;
    return createEndpointKeeper({
      platform,
      endpoint,
      onListener: () => this.beginAccepting(),
      onRebound: () => this.events.rebound(endpoint),
      onLost: (reason) => {
        this.events.lostEndpoint(endpoint, reason);
        // Nobody can reach this broker or find its backends any more.
        void this.stop({ reason: "lost-endpoint", withBackends: true });
      },
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
        accepted: this.accepted,
        busy: this.connections.count > 0 || this.activation.launching > 0 || this.activation.alive > 0,
      }),
      () => void this.stop({ reason: "idle" }),
    );
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
    const handoffs = createHandoffService({
      platform: this.platform,
      fdPressure: () => this.fdGuard.demoted,
      onOutcome: (report) => {
        this.metrics.handoff(report);
        this.events.handoff(report);
      },
      onSkip: (key, reason) => this.events.handoffSkipped(key, reason),
    });
    return {
      hello: createHelloRoute({
        clock,
        activation: this.activation,
        definitions: this.definitions({ onDecoded: (...decoded) => this.definitionDecoded(...decoded) }),
        rateLimiter: createRateLimiter(this.options.hellosPerSecond ?? HELLOS_PER_SECOND),
        instance: this.options.instance,
        handoffs,
      }),
      admin: (frame) => handleAdmin(admin, frame),
      attach: (frame, connection) => takeAttach(attach, frame, connection),
      closedToHellos: () => this.closedToHellos(),
      owner: String(processes.selfUid),
      largeFrames: createByteQuota(LARGE_FRAME_QUOTA_BYTES),
      requestDeadline: () => Deadline.after(clock, requestTimeoutMs),
      replyDeadline: () => Deadline.after(clock, REPLY_TIMEOUT_MS),
      onRequest: (connection) => this.connections.markWorking(connection),
      now: () => clock.monotonicMs(),
      onOutcome: (outcome) => {
        this.metrics.connection(outcome);
        this.events.connection(outcome);
      },
    };
  }

  private definitions(options: DefinitionStoreOptions): DefinitionStore {
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

  // ------------------------------------------------------------------------------------------------ accepting

  private beginAccepting(): void {
    this.keeper.listener?.accept({
      onConnection: (connection) => {
        if (this.fdGuard.accepted()) this.events.fdRecovered();
        this.take(connection);
      },
      onError: (error) => this.acceptFailed(error),
    });
  }

  private take(connection: Connection, serve: ServeOptions = this.serve): void {
    this.connections.add(connection);
    this.countAccepted();
    void serveConnection(connection, serve).finally(() => this.connections.remove(connection));
  }

  /** Bounded mode counts accepts, dropped peers and exhausted ones included. */
  private countAccepted(): void {
    this.accepted++;
    if (this.accepted !== this.options.maxConnections) return;
    this.keeper.listener?.pause();
    void this.connections.idle().then(() => this.stop({ reason: "max-connections" }));
  }

  private acceptFailed(error: AcceptError): void {
    if (!error.resource) return this.events.acceptFailed(error.errno);
    if (this.fdGuard.exhausted()) this.events.fdExhausted(error.errno);
    if (error.rejected !== undefined) this.take(error.rejected, this.servePressed());
    else this.countAccepted();
    this.keeper.listener?.pause();
    this.platform.clock.schedule(FD_PRESSURE_PAUSE_MS, () => {
      if (this.stopping === undefined && this.accepted !== this.options.maxConnections) this.beginAccepting();
    });
  }

  private servePressed(): ServeOptions {
    const { clock } = this.platform;
    return { ...this.serve, requestDeadline: () => Deadline.after(clock, PRESSED_REQUEST_TIMEOUT_MS) };
  }

  private closedToHellos(): Refusal | undefined {
    if (this.stopping !== undefined) return refuse("SHUTTING_DOWN", "broker is shutting down");
    if (!this.fdGuard.demoted) return undefined;
    this.fdGuard.countRefusal();
    return refuse("FD_PRESSURE", "broker is low on file descriptors; retry shortly", {
      retryAfterMs: FD_PRESSURE_RETRY_MS,
    });
  }

  // ------------------------------------------------------------------------------------------------ the end

  private async shutDown(options: StopOptions): Promise<void> {
    // Runs on after the current event, so that `this.stopping` is set before anything looks at it.
    await undefined;
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
    this.recorder.close();
    alive.cancel();
    this.resolveClosed(options.reason);
  }

  private snapshot(): BrokerSnapshot {
    const { platform, endpoint, startedMs, fdGuard, activation, connections } = this;
    return takeSnapshot({
      platform,
      endpoint,
      startedMs,
      activation,
      connectionsOpen: connections.count,
      fdDemoted: fdGuard.demoted,
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
