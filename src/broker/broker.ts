/**
 * A running broker: claims its endpoint, accepts, serves every connection by itself, and ends in one way whatever the
 * reason. This file is its life: start, takeover, restart, stop; compose.ts puts the parts together.
 *
 * Invariants: no connection waits for another; a peer can end nothing but its own connection; the socket file at the
 * endpoint is ours or we are on our way out.
 */
import { runAll } from "../base/disposal-stack.ts";
import { BrokerError } from "../base/errors.ts";
import { brokerErrorFrom } from "../base/system-error.ts";
import { type RegisteredServing, verifyRegistered } from "./activation/registered-backend.ts";
import { adoptLeftovers } from "./backend-supply.ts";
import { checkBrokerOptions, checkRestartOptions, checkStopOptions } from "./check-options.ts";
import { type BrokerLife, BrokerParts } from "./compose.ts";
import type { CloseReason } from "./events/broker-event.ts";
import { ThrownByListener } from "./events/event-listener.ts";
import type { RestartReport } from "./events/reports.ts";
import { watchBrokerIdle } from "./idle-exit.ts";
import type { Broker, BrokerOptions, StopOptions } from "./options.ts";
import type { Phase } from "./phase.ts";
import { recordDirectories, removeEmptyFallbacks } from "./recovery/socket-places.ts";
import { sweepEndpoints } from "./recovery/sweep-endpoints.ts";
import { openPredecessor, type Predecessor } from "./succession/predecessor.ts";
import type { Bequests, Inheritance } from "./succession/received-state.ts";

/** Work in flight when the broker ends. */
const DRAIN_MS = 10_000;
/** A peer that has connected but not asked yet when the broker ends. */
const DRAIN_READING_MS = 250;
/** On top, while launches are cut short: their processes have to die before the Hellos that wait can be answered. */
const DRAIN_REPLY_MS = 3_000;
const RESTART_MS = 60_000;

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

class RunningBroker implements Broker, BrokerLife {
  readonly endpoint: string;
  readonly closed: Promise<CloseReason>;
  private readonly parts: BrokerParts;
  private readonly phase: Phase;
  private readonly platform: BrokerOptions["platform"];
  private idleWatch: { close(): void } | undefined;
  private registered: RegisteredServing | undefined;
  private stopped: Promise<void> | undefined;
  private resolveClosed: (reason: CloseReason) => void = () => {};

  constructor(private readonly options: BrokerOptions) {
    this.endpoint = options.endpoint;
    this.platform = options.platform;
    this.parts = new BrokerParts(options, this);
    this.phase = this.parts.phase;
    this.closed = new Promise((resolve) => {
      this.resolveClosed = resolve;
    });
  }

  async start(): Promise<void> {
    const { registered } = this.options;
    if (registered !== undefined) {
      this.registered = await verifyRegistered(this.platform, this.parts.createDefinitions({}), registered);
      this.parts.activation.register(this.registered);
    }
    const { predecessorFd } = this.options;
    if (predecessorFd === undefined) await this.begin();
    else await this.takeOver(predecessorFd);
  }

  /** It has not begun, and will not: the program that goes on without it keeps neither address nor lock. */
  giveUp(): void {
    runAll([
      // What was to be inherited is the other process's again.
      () => this.options.predecessorFd === undefined && this.parts.keeper.close(),
      // Backends of an earlier broker are left to the next one.
      () => this.parts.activation.letGo(),
      () => this.closeRest(),
      () => this.options.predecessorFd === undefined && removeEmptyFallbacks(this.platform.files, this.parts.places()),
    ]);
  }

  async restart(options: { timeoutMs?: number | undefined } = {}): Promise<RestartReport> {
    checkRestartOptions(options);
    const refused = this.phase.closedToRestart();
    if (refused !== undefined) throw new BrokerError("RESTART_FAILED", `the broker cannot be restarted: ${refused}`);
    return this.parts.restarts.run(options.timeoutMs ?? RESTART_MS);
  }

  async stop(options: StopOptions): Promise<void> {
    checkStopOptions(options);
    this.phase.stop();
    this.stopped ??= this.shutDown(options);
    return this.stopped;
  }

  /** At an address that is free. Whatever fails ends the start. */
  private async begin(): Promise<void> {
    await this.parts.keeper.claim();
    if (this.options.registered === undefined) this.adoptLeftovers(undefined);
    this.parts.keeper.open();
    this.parts.events.started(this.endpoint, this.parts.instance());
    this.parts.listener.started();
    this.launchAhead();
    this.parts.recorder.flush();
    this.watchIdle();
  }

  /** In the place of another broker, with all it has. From the moment that this process is the broker nothing ends the start. */
  private async takeOver(predecessorFd: number): Promise<void> {
    const predecessor = openPredecessor(this.platform, predecessorFd);
    let inheritance: Inheritance;
    try {
      // What the listener has thrown so far ends the start while it still can.
      this.parts.listener.started();
      inheritance = await predecessor.inherit(this.parts.address());
    } catch (error) {
      await predecessor.failed(error);
      throw error;
    }
    const { claim, accepted, lastConnectionId, bequests, faults } = inheritance;
    for (const { step, error } of faults) this.parts.events.restartFault(step, error);
    this.parts.keeper.inherit(claim);
    this.parts.acceptor.accepted = accepted;
    this.parts.hello.lastConnectionId = lastConnectionId;
    this.tolerate("taking over requests", () => this.followPredecessor(predecessor));
    if (this.options.registered === undefined)
      this.tolerate("finding its backends", () => this.adoptLeftovers(bequests));
    if (!this.tolerate("accepting", () => this.parts.keeper.open()))
      this.loseEndpoint("connections cannot be accepted");
    void predecessor.serving();
    this.tolerate("telling of it", () => {
      this.parts.events.started(this.endpoint, this.parts.instance(), { backends: bequests.count });
      this.parts.recorder.flush();
    });
    this.tolerate("watching for idleness", () => this.watchIdle());
  }

  /** For what comes after there is no way back. False when it failed, which has been said. */
  private tolerate(step: string, work: () => void): boolean {
    const failure = runAll([work]);
    if (failure !== undefined) this.parts.events.restartFault(step, failure.error);
    return failure === undefined;
  }

  private followPredecessor(predecessor: Predecessor): void {
    const over = predecessor
      .takeRequests((...request) => this.parts.acceptor.takeOver(...request))
      .then((fault) => {
        if (fault !== undefined) this.parts.events.restartFault("taking over requests", fault);
      });
    this.phase.relayedTo(over);
  }

  loseEndpoint(reason: string, options: Pick<StopOptions, "withBackends"> = {}): void {
    this.parts.events.lostEndpoint(this.endpoint, reason);
    void this.stop({ reason: "lost-endpoint", ...options });
  }

  private launchAhead(): void {
    for (const wanted of this.options.launch ?? [])
      void this.parts.hello.launchAhead(wanted).then((refusal) => {
        if (refusal !== undefined) this.parts.events.notLaunchedAhead(wanted, refusal);
      });
  }

  private adoptLeftovers(inherited: Bequests | undefined): void {
    let directories: readonly string[] = [];
    try {
      directories = recordDirectories(this.platform.files, this.parts.places());
      adoptLeftovers(this.parts.supplyOptions(), this.parts.activation, { directories, inherited });
    } catch (error) {
      // Nobody else is there any more to serve.
      if (inherited === undefined) throw error;
      inherited.close();
      this.parts.events.leftoversUnread(directories.join(", "), error);
    }
    for (const directory of directories)
      try {
        const swept = sweepEndpoints(this.platform, directory);
        if (swept > 0) this.parts.events.swept(swept);
      } catch {
        // Tidying up is no reason to fail; the next start tries again.
      }
  }

  private watchIdle(): void {
    const { idleExitMs } = this.options;
    if (idleExitMs === undefined) return;
    this.idleWatch = watchBrokerIdle(
      this.platform.clock,
      idleExitMs,
      () => ({
        accepted: this.parts.acceptor.accepted,
        busy:
          this.parts.connections.count > 0 ||
          this.parts.activation.launching > 0 ||
          this.parts.activation.alive > 0 ||
          this.phase.hasRelays,
      }),
      () => void this.stop({ reason: "idle" }),
    );
  }

  private async shutDown(options: StopOptions): Promise<void> {
    // After the current event: whatever told it to end is in the middle of something.
    await undefined;
    await this.parts.restarts.abort();
    // What would be relayed is cut off; everything else is the other process's.
    if (this.phase.isReplaced) return this.parts.connections.drain({ readingMs: 0, totalMs: DRAIN_MS });
    this.parts.events.stopping(options.reason);
    // Children and their deadlines do not keep a process alive; ending them properly must.
    const alive = this.platform.clock.schedule(Number.POSITIVE_INFINITY, () => {});
    const drainMs = options.drainMs ?? DRAIN_MS;
    const launches = this.platform.clock.schedule(drainMs, () => void this.parts.activation.stop("launching"));
    const replyMs = this.parts.activation.launching > 0 ? DRAIN_REPLY_MS : 0;
    await Promise.all([
      this.parts.connections.drain({ readingMs: Math.min(DRAIN_READING_MS, drainMs), totalMs: drainMs + replyMs }),
      this.parts.activation.settled(),
    ]);
    launches.cancel();
    this.idleWatch?.close();
    this.parts.keeper.close();
    // Peers that came in while the rest was ending.
    await this.parts.connections.drain({ readingMs: 0, totalMs: DRAIN_READING_MS });
    await this.parts.activation.stop(options.withBackends ? "all" : "launching");
    this.parts.events.stopped(
      options.reason,
      this.parts.activation.backends().map((backend) => backend.identity.pid),
    );
    // Those that keep running are the next broker's.
    this.parts.activation.letGo();
    removeEmptyFallbacks(this.platform.files, this.parts.places());
    this.closeRest();
    alive.cancel();
    this.resolveClosed(options.reason);
  }

  /** Another process is the broker; what is left here are connections whose requests have not been read. */
  async leave(): Promise<void> {
    this.idleWatch?.close();
    await this.parts.relaysOver();
    this.closeRest();
    this.resolveClosed("replaced");
  }

  private closeRest(): void {
    runAll([() => this.registered?.close(), () => this.parts.definitions.close(), () => this.parts.recorder.close()]);
  }
}
