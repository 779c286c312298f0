/**
 * The ready-made server: fast bind, identity, probes, consumer frames, graceful stop.
 *
 *   claim endpoint -> accept, hash own executable, load (all three at once) -> stop
 *
 * Stop, in this order: sidecar gone, nothing accepted, socket and lock gone (a successor can start), requests in flight
 * answered or the time is up, every connection closed, the daemon's own `onStop`, the control channel closed.
 *
 * A quiesce is a stop without a limit: what is in flight takes as long as it takes, leases included. A signal that comes
 * meanwhile sets the limit.
 */
import { requireObject, requireTextMap } from "../base/check-option.ts";
import { Deadline, type Timer } from "../base/clock.ts";
import type { BackendIdentity } from "../model/identity.ts";
import type { Listener } from "../platform/ports/index.ts";
import { checkServeOptions, handlersOf } from "./check-options.ts";
import { claimEndpoint, type EndpointClaim } from "./claim-endpoint.ts";
import { type ClientWire, createSocketWire } from "./client-wire.ts";
import { type BackendConnection, type ConnectionRules, serveConnection } from "./connection.ts";
import { createConnectionWire } from "./connection-wire.ts";
import { startLoading } from "./contract.ts";
import { type Handoffs, openHandoffs } from "./handoffs.ts";
import { createSidecar, type Sidecar } from "./identity-file.ts";
import { identifySelf, withBlake3 } from "./self-identity.ts";
import type {
  BackendCloseReason,
  BackendHandler,
  RunningBackend,
  ServeEnvironment,
  ServeOptions,
} from "./serve-options.ts";
import { type BackendLease, createWorkLedger, type WorkLedger } from "./work-ledger.ts";

const STOP_TIMEOUT_MS = 10_000;
const MAX_IN_FLIGHT = 256;
/** What a stopped process with timers or watchers of its own gets before the signal it was sent ends it after all. */
const LINGER_MS = 3_000;
/** By then whoever waited for the first answer has it. */
const SECOND_HASH_DELAY_MS = 500;

/**
 * Holds the endpoint and serves it. Resolves as soon as clients can connect; `load` may still be running. An open
 * backend keeps the process alive; a stopped one does not.
 *
 * After a stop by signal the process ends by itself with status 0 when nothing else keeps it alive, and by that
 * signal three seconds later when something does.
 *
 * @throws BrokerError OPTION_INVALID, PAYLOAD_PROTOCOL_INVALID, LAUNCHED_WITHOUT_ENDPOINT, LISTENER_INVALID, ENDPOINT_IN_USE,
 * PATH_TOO_LONG, ENDPOINT_INVALID, FILE_INSECURE, IO_FAILED
 */
export async function serveBackend<S>(
  options: ServeOptions<S>,
  environment: ServeEnvironment,
): Promise<RunningBackend> {
  checkServeOptions(options);
  requireObject("environment", environment);
  requireObject("environment.platform", environment.platform);
  requireTextMap("environment.launchEnv", environment.launchEnv);
  const handlers = handlersOf(options);
  const { transport } = environment.platform;
  const claim = await claimEndpoint<Listener>({
    ...environment,
    endpoint: options.endpoint,
    service: options.service,
    version: options.version,
    bind: (address) => transport.listen(address.path),
    adopt: (listener) => listener,
    discard: (listener) => listener.close(),
  });
  return new BackendServer(options, environment, handlers, claim);
}

class BackendServer<S> implements RunningBackend {
  readonly endpoint: string;
  readonly identity: Promise<BackendIdentity>;
  readonly closed: Promise<BackendCloseReason>;
  private readonly open = new Set<BackendConnection>();
  private readonly acceptor: { close(): Promise<void> };
  private readonly handoffs: Handoffs;
  private readonly signals: { dispose(): void } | undefined;
  private readonly loading = new AbortController();
  private readonly rules: ConnectionRules<S>;
  private readonly ledger: WorkLedger;
  private readonly sidecar: Sidecar | undefined;
  /** A limit for what is in flight; none while the backend only quiesces. */
  private limit: { readonly deadline: Deadline; readonly timer: Timer } | undefined;
  private readonly whenDrained: (() => void)[] = [];
  private stopping: Promise<void> | undefined;
  private completed = false;
  private whenEmpty: () => void = () => {};
  private settle: { resolve(reason: BackendCloseReason): void; reject(error: unknown): void };

  constructor(
    private readonly options: ServeOptions<S>,
    private readonly environment: ServeEnvironment,
    handlers: ReadonlyMap<number, BackendHandler<S>>,
    private readonly claim: EndpointClaim<Listener>,
  ) {
    this.endpoint = claim.address.path;
    this.settle = { resolve() {}, reject() {} };
    this.closed = new Promise((resolve, reject) => {
      this.settle = { resolve, reject };
    });
    const brief = identifySelf(environment.platform, claim.address);
    this.identity = brief.then((identity) => this.complete(identity));
    const { sidecarPath } = options;
    this.sidecar = sidecarPath === undefined ? undefined : createSidecar(environment.platform.files, sidecarPath);
    this.identity.then((identity) => this.sidecar?.publish(identity)).catch((error: unknown) => this.report(error));
    const state = startLoading(() => this.load());
    let loaded: { readonly state: S } | undefined;
    // The failure before any connection sees it: they have nothing to add.
    state.then(
      (value) => {
        loaded = { state: value };
      },
      (error: unknown) => this.loadFailed(error),
    );
    this.ledger = createWorkLedger(environment.platform.clock, { countConnections: options.countConnections ?? true });
    this.ledger.onReleased(() => this.checkEmpty());
    this.rules = {
      handlers,
      legacy: options.legacy,
      identity: () => (claim.address.binary === undefined ? this.identity : this.completed ? this.identity : brief),
      state,
      loaded: () => loaded,
      maxInFlight: options.maxInFlightPerConnection ?? MAX_IN_FLIGHT,
      ledger: this.ledger,
      onProbe: () => this.handoffs.probed(),
      report: (error) => this.report(error),
    };
    this.acceptor = environment.platform.transport.serveSockets(claim.listener, (socket) =>
      this.accept(createSocketWire(socket)),
    );
    this.handoffs = openHandoffs({
      ...environment,
      endpoint: options.handoffEndpoint,
      // A connection that was handed over is served like one that was dialled.
      deliver: (client, reply) => this.accept(createConnectionWire(client, environment.platform.clock, reply)),
      ledger: this.ledger,
      hooks: options,
      drain: (onDrained) => this.quiesce(onDrained),
      report: (error) => this.report(error),
    });
    if (options.handleSignals !== false)
      this.signals = environment.onTerminationSignal?.((signal) => this.receiveSignal(signal));
  }

  get connections(): number {
    return this.open.size;
  }

  lease(reason: string): BackendLease {
    return this.ledger.lease(reason);
  }

  stop(): Promise<void> {
    return this.begin(() => this.settle.resolve("requested"));
  }

  private receiveSignal(signal: "SIGTERM" | "SIGINT"): void {
    if (this.stopping !== undefined) {
      if (this.limit === undefined) this.setLimit();
      else this.destroyAll();
      return;
    }
    void this.begin(() => {
      this.settle.resolve("signal");
      this.endLater(signal);
    });
  }

  private quiesce(onDrained: () => void): void {
    this.whenDrained.push(onDrained);
    const settled = (): void => {
      this.settle.resolve("quiesced");
      if (this.signals !== undefined) this.endLater("SIGTERM");
    };
    void this.begin(settled, { limited: false });
  }

  private endLater(signal: "SIGTERM" | "SIGINT"): void {
    const { clock, processes } = this.environment.platform;
    const linger = (): void => void clock.schedule(LINGER_MS, () => processes.endBySignal(signal), { weak: true });
    // Until its program is hashed this server itself keeps the process alive, on a busy machine for seconds.
    this.identity.then(linger, linger);
  }

  private loadFailed(error: unknown): void {
    this.destroyAll();
    void this.begin(() => this.settle.reject(error));
  }

  /** The only way to the end; `settled` runs when everything is closed. */
  private begin(settled: () => void, { limited = true } = {}): Promise<void> {
    this.stopping ??= this.shutDown().then(settled);
    // A stop that comes upon a quiesce sets the limit that this has not.
    if (limited && this.limit === undefined) this.setLimit();
    return this.stopping;
  }

  private setLimit(): void {
    const deadline = this.stopDeadline();
    this.limit = { deadline, timer: deadline.arm(() => this.destroyAll()) };
    this.checkEmpty();
  }

  private stopDeadline(): Deadline {
    return Deadline.after(this.environment.platform.clock, this.options.stopTimeoutMs ?? STOP_TIMEOUT_MS);
  }

  private checkEmpty(): void {
    // Only a backend without a limit waits for leases: they are no more than a word of the author's.
    if (this.open.size === 0 && (this.limit !== undefined || this.ledger.held === 0)) this.whenEmpty();
  }

  private async shutDown(): Promise<void> {
    const { open } = this;
    this.loading.abort();
    this.sidecar?.withdraw();
    const accepted = this.acceptor.close();
    this.handoffs.stopAccepting();
    this.attempt(() => this.claim.release());
    for (const connection of open) connection.finish();
    await new Promise<void>((resolve) => {
      this.whenEmpty = resolve;
      this.checkEmpty();
    });
    await accepted;
    this.limit?.timer.cancel();
    // A quiesce has set none; the author's own code gets one all the same, and nobody sets another now.
    this.limit ??= { deadline: this.stopDeadline(), timer: { cancel() {} } };
    await this.runOnStop(this.limit.deadline);
    for (const callBack of this.whenDrained) callBack();
    await this.handoffs.close();
    this.signals?.dispose();
  }

  private async runOnStop(deadline: Deadline): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = deadline.arm(resolve);
      Promise.resolve()
        .then(() => this.options.onStop?.())
        .catch((error: unknown) => this.report(error))
        .finally(() => {
          timer.cancel();
          resolve();
        });
    });
  }

  private accept(wire: ClientWire): void {
    if (this.stopping !== undefined) {
      wire.destroy();
      return;
    }
    const connection = serveConnection(wire, this.rules, () => {
      this.open.delete(connection);
      this.ledger.closeConnection();
      this.checkEmpty();
    });
    this.open.add(connection);
    this.ledger.openConnection();
  }

  private destroyAll(): void {
    for (const connection of this.open) connection.destroy();
  }

  private load(): S | Promise<S> {
    // Without `load` nobody has a type for the state, so nobody can use it.
    return this.options.load === undefined ? (undefined as S) : this.options.load({ signal: this.loading.signal });
  }

  /** A broker of ours is waiting for the first probe's answer and needs no second hash: that one can wait. */
  private async complete(identity: BackendIdentity): Promise<BackendIdentity> {
    const { platform } = this.environment;
    if (this.claim.address.binary !== undefined)
      await new Promise<void>((resolve) => platform.clock.schedule(SECOND_HASH_DELAY_MS, resolve, { weak: true }));
    const complete = await withBlake3(platform, identity);
    this.completed = true;
    return complete;
  }

  /** Clean-up that fails must not keep the rest from being cleaned up. */
  private attempt(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.report(error);
    }
  }

  private report(error: unknown): void {
    this.options.onError?.(error);
  }
}
