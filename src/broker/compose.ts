/** Puts the parts of a broker together: which part is told what by which, and with which limits. */
import { Deadline } from "../base/clock.ts";
import { BrokerError, reasonOf } from "../base/errors.ts";
import { definitionDifferences } from "../model/definition-differences.ts";
import { instanceId } from "../model/names.ts";
import type { PlaceInputs } from "../model/places.ts";
import { createRateLimiter, HELLOS_PER_SECOND } from "../model/rate-limit.ts";
import type { ServiceDefinition } from "../model/service-definition.ts";
import type { Connection } from "../platform/ports/index.ts";
import { createDefinitionStore, type DefinitionStore, type DefinitionStoreOptions } from "../store/definition-store.ts";
import { createLifecycleLog } from "../store/lifecycle-log.ts";
import { MAX_FRAME_BODY_BYTES } from "../wire/limits.ts";
import { type Activation, createActivation } from "./activation/activation.ts";
import { type BackendHealth, createBackendHealth } from "./activation/backend-health.ts";
import { handleAdmin } from "./admin/admin-route.ts";
import type { BrokerSnapshot } from "./admin/broker-snapshot.ts";
import { diagnose } from "./admin/diagnose.ts";
import { releaseHandles } from "./admin/release-handles.ts";
import { takeSnapshot } from "./admin/take-snapshot.ts";
import { createSupply, type SupplyOptions } from "./backend-supply.ts";
import type { BrokerAddress } from "./endpoint/claim-endpoint.ts";
import { createEndpointKeeper, type EndpointKeeper } from "./endpoint/endpoint-keeper.ts";
import { createEventListener, type EventListener } from "./events/event-listener.ts";
import { type BrokerEvents, createBrokerEvents } from "./events/events.ts";
import { createBrokerMetrics } from "./events/metrics.ts";
import { createLifecycleRecorder, type LifecycleRecorder } from "./events/recorder.ts";
import type { RestartReport } from "./events/reports.ts";
import { createHandoffService } from "./handoff/handoff-service.ts";
import { createHelloRoute, type HelloRoute } from "./hello/hello-route.ts";
import type { BrokerOptions, StopOptions } from "./options.ts";
import { Phase } from "./phase.ts";
import { brokerAddress } from "./recovery/socket-places.ts";
import { type Acceptor, createAcceptor } from "./serving/acceptor.ts";
import { takeAttach } from "./serving/attach-route.ts";
import { createByteQuota } from "./serving/byte-quota.ts";
import { type Connections, createConnections } from "./serving/connections.ts";
import type { ServeOptions } from "./serving/conversation.ts";
import { createRestart, type Restart } from "./succession/hot-restart.ts";
import { launchSuccessor } from "./succession/successor.ts";

/** From accept to the last byte of the request; the reference's later versions use the same. */
const REQUEST_TIMEOUT_MS = 30_000;
const REPLY_TIMEOUT_MS = 5_000;
/** Frames above the Hello limit held at one time: four of the largest. */
const LARGE_FRAME_QUOTA_BYTES = 4 * MAX_FRAME_BODY_BYTES;

/** What of the broker's life its parts can bring about. */
export interface BrokerLife {
  stop(options: StopOptions): Promise<void>;
  restart(options: { readonly timeoutMs: number | undefined }): Promise<RestartReport>;
  /** No client can reach this broker any more. */
  loseEndpoint(reason: string, options?: Pick<StopOptions, "withBackends">): void;
  /** Another process is the broker, and everything of the switch is done. */
  leave(): Promise<void>;
}

/** The parts of a broker, put together. Nothing is begun by it. */
export class BrokerParts {
  readonly platform: BrokerOptions["platform"];
  readonly endpoint: string;
  readonly phase = new Phase();
  readonly connections: Connections;
  readonly listener: EventListener;
  readonly recorder: LifecycleRecorder;
  readonly events: BrokerEvents;
  readonly activation: Activation;
  readonly keeper: EndpointKeeper;
  readonly restarts: Restart;
  readonly definitions: DefinitionStore;
  readonly hello: HelloRoute;
  readonly acceptor: Acceptor;
  private readonly startedMs: number;
  private readonly metrics = createBrokerMetrics();
  private readonly health: BackendHealth;
  private readonly serve: ServeOptions;

  constructor(
    private readonly options: BrokerOptions,
    private readonly life: BrokerLife,
  ) {
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
      isStopping: () => this.phase.isStopping || this.phase.isReplaced,
      onLast: () => void this.relaysOver().then(() => life.stop({ reason: "max-connections" })),
    });
  }

  /** Resolves when nothing is open here, and nothing comes any more from the process whose place this one took. */
  async relaysOver(): Promise<void> {
    await this.phase.relaysOver();
    await this.connections.idle();
  }

  /** With the name that the path was made of, when it was made of one. */
  address(): BrokerAddress {
    return brokerAddress(this.platform, this.places(), { path: this.endpoint, instance: this.options.instance });
  }

  private createKeeper(): EndpointKeeper {
    const { platform, endpoint } = this;
    return createEndpointKeeper({
      platform,
      endpoint: this.address(),
      onListener: () => this.acceptor.begin(),
      onRebound: () => this.events.rebound(endpoint),
      // No client can reach this broker or find its backends any more.
      onLost: (reason) => this.life.loseEndpoint(reason, { withBackends: true }),
    });
  }

  supplyOptions(): SupplyOptions {
    const { platform, options, events, metrics, health, endpoint } = this;
    const { env, logDirectory } = options;
    const isStopping = (): boolean => this.phase.isStopping;
    return { platform, events, metrics, health, endpoint, env, logDirectory, isStopping };
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
      onFailed: (error) => events.restartFailed(error, this.phase.isReplaced),
      onGone: () => this.phase.replace(),
      onFault: (step, error) => events.restartFault(step, error),
      onDeaf: (error) => this.life.loseEndpoint(`connections cannot be accepted: ${reasonOf(error)}`),
      onLeft: (report) => {
        events.restarted(report);
        void this.life.leave();
      },
    });
  }

  private createServeOptions(): ServeOptions {
    const { clock, user } = this.platform;
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
        void this.life.stop({ reason: "requested", withBackends, ...(drainMs !== undefined && { drainMs }) }),
      releaseHandles: (request: { path: string; timeoutMs: number | undefined }) =>
        releaseHandles(clock, this.activation, request),
    };
    const attach = {
      attachControl: this.activation.attachControl.bind(this.activation),
      isClosed: () => this.phase.isStopping,
    };
    return {
      hello: this.hello,
      relay: (connection, frame) => this.restarts.relay(connection, frame),
      admin: (frame, connection) =>
        handleAdmin({ ...admin, restart: (request) => this.restartFor(connection, request) }, frame),
      attach: (frame, connection) => takeAttach(attach, frame, connection),
      closedToHellos: () => this.phase.closedToHellos() ?? this.acceptor.refusal(),
      owner: user.identity,
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

  createDefinitions(options: DefinitionStoreOptions): DefinitionStore {
    return createDefinitionStore(this.platform.files, this.options.definitionDirectory, options);
  }

  private definitionDecoded(definition: ServiceDefinition, before: ServiceDefinition | undefined): void {
    const changes = before && definitionDifferences(before, definition);
    if (changes?.length !== 0) this.events.definition(definition, changes);
  }

  places(): PlaceInputs {
    const { env, home } = this.options;
    return { os: this.platform.host.os, env, uid: this.platform.user.uid, home: home ?? env.HOME ?? "" };
  }

  instance(): string {
    const { instance, registered } = this.options;
    if (instance !== undefined) return instanceId(instance);
    return registered === undefined ? "launch" : (this.activation.backends()[0]?.key.instanceId ?? "launch");
  }

  private restartFor(connection: Connection, request: { timeoutMs: number | undefined }): Promise<RestartReport> {
    // Its answer is the last one that this process gives.
    this.connections.markWaiting(connection);
    return this.life.restart(request);
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
      shuttingDown: this.phase.isStopping,
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
