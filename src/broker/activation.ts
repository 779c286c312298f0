/**
 * Finding or launching the backend of a key. Single flight: the first Hello for a key that is not running launches it,
 * later ones join that launch, and nobody waits for another key's.
 */
import { type Clock, sleep, type Timer } from "../base/clock.ts";
import { runAll } from "../base/disposal-stack.ts";
import { type BrokerError, hasCode, isBrokerError, reasonOf } from "../base/errors.ts";
import type { MaybePromise } from "../base/maybe-promise.ts";
import { type BackendKey, compareKeys, keyText, sameKey } from "../model/backend-key.ts";
import { meansSameLaunch } from "../model/launch-means.ts";
import { type CrashRow, createRecovery, STABLE_MS } from "../model/recovery.ts";
import { type Refusal, refuse } from "../model/refusal.ts";
import type { ServiceDefinition } from "../model/service-definition.ts";
import { createSpawnBudget } from "../model/spawn-budget.ts";
import type { Connection } from "../platform/ports.ts";
import type { Backend, LaunchedBackend, LaunchRegistry, SuspendedBackend } from "./backend.ts";
import type { LaunchRequest } from "./launcher.ts";
import type { ActivationHow, Crash } from "./reports.ts";

export type Activated = { readonly backend: Backend; readonly how: ActivationHow } | { readonly refusal: Refusal };

export interface Activation {
  /** The backend of a key, launched if need be. Never rejects for what a backend does. */
  activate(request: LaunchRequest): MaybePromise<Activated>;
  /** Adds one that was not launched here. */
  register(backend: Backend): void;
  /**
   * Backends of an earlier broker are being looked at: Hellos for `key` wait until `work` is done, which may take one
   * over with the registry it is given. `work` must not reject.
   */
  adopt(key: BackendKey, work: (registry: LaunchRegistry) => Promise<void>): void;
  /** Sorted by service, version, instance. */
  backends(): readonly Backend[];
  /** Those that take no new client any more and have not ended yet. */
  draining(): readonly LaunchedBackend[];
  /** Keys with launches in their current window, sorted as `backends`. */
  budgets(): readonly BudgetRow[];
  /** What crashed in the last half minute or so. */
  crashes(): readonly CrashRow[];
  /** All that were launched here or adopted and are not gone, oldest first: also those that start or drain. */
  launched(): readonly LaunchedBackend[];
  /**
   * A process dialled the broker for a new control channel: `pid` by the kernel's word, `endpoint` by its own. Consumes
   * the connection when true.
   */
  attachControl(pid: number, endpoint: string, connection: Connection): boolean;
  /** Launches in progress. */
  readonly launching: number;
  /** Keys of which backends of an earlier broker are being looked at. */
  readonly adopting: number;
  /** Backends that have not ended, in whatever state, adoptions in progress included. */
  readonly alive: number;
  /** Resolves when no launch is in progress. */
  settled(): Promise<void>;
  /**
   * Leaves all backends alone, so that another broker can take them over. No Hello may come and no launch be in progress
   * until `resume`.
   */
  suspend(): Promise<readonly SuspendedBackend[]>;
  resume(): void;
  /** Another broker has taken them over. Never throws. */
  letGo(): void;
  /**
   * Launches nothing any more and ends what was launched: `launching` only what is not ready yet, `all` everything.
   * Resolves when nothing is left of what was ended.
   */
  stop(what: "launching" | "all"): Promise<void>;
}

/** Launches of a key within its current window. */
export interface BudgetRow {
  readonly key: BackendKey;
  readonly attemptsUsed: number;
  readonly remaining: number;
  readonly inFlight: boolean;
  /** Set when nothing remains. */
  readonly retryAfterMs: number | undefined;
}

export interface ActivationOptions {
  readonly clock: Clock;
  /** Absent in registered mode: nothing is launched. */
  readonly bringUp?: (request: LaunchRequest, registry: LaunchRegistry) => Promise<LaunchedBackend>;
  /** A running backend ended by itself; `crashes` in this window, `delayMs` until the next launch may begin. */
  readonly onCrash?: (backend: LaunchedBackend, crash: Crash, crashes: number, delayMs: number) => void;
}

/** Hellos that may wait for one launch; a client that floods gets told to come back. */
const MAX_JOINED = 4096;
/** Launches in progress at one time, over all keys. */
const MAX_LAUNCHING = 64;
/** Hints for refused Hellos. Frozen. */
const SPAWN_RETRY_MS = 1000;
const SHUTTING_DOWN = refuse("SHUTTING_DOWN", "broker is shutting down");
/** What of a backend's output goes into the reason text, for clients that drop the details. */
const REASON_TAIL_CHARS = 400;

export function createActivation(options: ActivationOptions): Activation {
  return new SingleFlight(options);
}

interface Flight {
  readonly result: Promise<Activated>;
  joined: number;
}

class SingleFlight implements Activation {
  private readonly running = new Map<string, Backend>();
  private readonly flights = new Map<string, Flight>();
  /** Every launched or adopted backend that is not gone yet, those that drain included. */
  private readonly owned = new Set<LaunchedBackend>();
  private readonly adoptions = new Map<string, Promise<void>>();
  private readonly budget = createSpawnBudget();
  private readonly recovery = createRecovery();
  private stopping = false;
  /** Another broker has the backends, or is to have them. */
  private gone = false;

  constructor(private readonly options: ActivationOptions) {}

  get launching(): number {
    return this.flights.size;
  }

  get adopting(): number {
    return this.adoptions.size;
  }

  get alive(): number {
    return Math.max(this.serving, this.owned.size) + this.adoptions.size;
  }

  /** One that was registered and has ended is kept, and does not count. */
  private get serving(): number {
    let count = 0;
    for (const backend of this.running.values()) if (backend.state !== "absent") count++;
    return count;
  }

  activate(request: LaunchRequest): MaybePromise<Activated> {
    const id = keyText(request.key);
    const backend = this.running.get(id);
    // The way of nearly every Hello: nothing to wait for. Definitions are cached, so an unchanged one is the same object.
    if (
      backend !== undefined &&
      (backend.definition === request.definition || backend.definition === undefined) &&
      backend.isServing() === true
    )
      return { backend, how: "reused" };
    return this.findOrLaunch(id, request);
  }

  private async findOrLaunch(id: string, request: LaunchRequest): Promise<Activated> {
    // While one was looked at, it may have ended and another Hello may have launched its successor.
    for (let backend = this.running.get(id); backend !== undefined; backend = this.running.get(id)) {
      if (backend.definition !== request.definition && !this.isStillMeant(backend, request.definition)) break;
      if ((await backend.isServing()) && this.running.get(id) === backend) return { backend, how: "reused" };
      // One that was registered may serve again, and nothing else would bring it back.
      if (this.options.bringUp === undefined) break;
      this.dropStale(id, backend);
    }
    const adoption = this.adoptions.get(id);
    if (adoption !== undefined) {
      await adoption;
      return this.activate(request);
    }
    const flight = this.flights.get(id);
    if (flight === undefined) return this.launch(id, request);
    if (flight.joined >= MAX_JOINED)
      return { refusal: refuse("RATE_LIMITED", "backend spawn already in progress", { retryAfterMs: SPAWN_RETRY_MS }) };
    flight.joined++;
    const landed = await flight.result;
    return "refusal" in landed ? landed : { ...landed, how: "joined" };
  }

  register(backend: Backend): void {
    this.running.set(keyText(backend.key), backend);
  }

  backends(): readonly Backend[] {
    return [...this.running.values()].sort((a, b) => compareKeys(a.key, b.key));
  }

  budgets(): readonly BudgetRow[] {
    return this.budget
      .rows(this.options.clock.monotonicMs())
      .map(({ key, attemptsUsed, remaining, retryAfterMs }) => ({
        key,
        attemptsUsed,
        remaining,
        inFlight: this.flights.has(keyText(key)),
        retryAfterMs,
      }))
      .sort((a, b) => compareKeys(a.key, b.key));
  }

  launched(): readonly LaunchedBackend[] {
    return [...this.owned];
  }

  attachControl(pid: number, endpoint: string, connection: Connection): boolean {
    for (const backend of this.owned)
      if (isKnown(backend) && backend.identity.endpoint.path === endpoint)
        return backend.attachControl(pid, connection);
    return false;
  }

  crashes(): readonly CrashRow[] {
    return this.recovery.rows(this.options.clock.monotonicMs());
  }

  draining(): readonly LaunchedBackend[] {
    return [...this.owned].filter((backend) => backend.state === "draining");
  }

  adopt(key: BackendKey, work: (registry: LaunchRegistry) => Promise<void>): void {
    const id = keyText(key);
    const done = work(this.registry(key))
      // What could not be looked at is not taken over; the Hellos that wait launch.
      .catch(() => {})
      .finally(() => this.adoptions.delete(id));
    this.adoptions.set(id, done);
  }

  async settled(): Promise<void> {
    await Promise.all(this.adoptions.values());
    await Promise.all([...this.flights.values()].map((flight) => flight.result));
  }

  async stop(what: "launching" | "all"): Promise<void> {
    this.stopping = true;
    await Promise.all(this.adoptions.values());
    const chosen = [...this.owned].filter((backend) => what === "all" || backend.state === "spawning");
    for (const backend of chosen) backend.stop();
    await Promise.all(chosen.map((backend) => backend.ended));
    await this.settled();
  }

  suspend(): Promise<readonly SuspendedBackend[]> {
    return Promise.all([...this.owned].filter(isKnown).map((backend) => backend.suspend()));
  }

  resume(): void {
    for (const backend of this.owned) backend.resume();
  }

  letGo(): void {
    this.stopping = true;
    this.gone = true;
    runAll([...this.owned].map((backend) => () => backend.letGo()));
  }

  private launch(id: string, request: LaunchRequest): Promise<Activated> {
    const refusal = this.admit(request.key);
    if (refusal !== undefined) return Promise.resolve({ refusal });
    const result = this.fly(request).finally(() => this.flights.delete(id));
    this.flights.set(id, { result, joined: 0 });
    return result;
  }

  private admit(key: BackendKey): Refusal | undefined {
    if (this.stopping) return SHUTTING_DOWN;
    if (this.options.bringUp === undefined)
      return refuse("BACKEND_SPAWN_FAILED", "backend is not registered", { retryAfterMs: SPAWN_RETRY_MS });
    if (this.flights.size >= MAX_LAUNCHING)
      return refuse("RATE_LIMITED", `${MAX_LAUNCHING} backends are being launched already`, {
        retryAfterMs: SPAWN_RETRY_MS,
      });
    const nowMs = this.options.clock.monotonicMs();
    const retryAfterMs = this.recovery.refusedMs(key, nowMs) || this.budget.begin(key, nowMs);
    if (retryAfterMs === 0) return undefined;
    const crash = this.recovery.last(key, nowMs);
    const details: Record<string, string> =
      crash === undefined ? {} : { crashes: String(crash.crashes), exit: crash.exit, log_tail: crash.logTail };
    return refuse("RATE_LIMITED", "backend spawn budget exhausted", { retryAfterMs, details });
  }

  private async fly(request: LaunchRequest): Promise<Activated> {
    const bringUp = this.options.bringUp as NonNullable<ActivationOptions["bringUp"]>;
    const { clock } = this.options;
    const { key } = request;
    const delayMs = this.recovery.delayMs(key, clock.monotonicMs());
    if (delayMs > 0) await sleep(clock, delayMs);
    if (this.stopping) return { refusal: SHUTTING_DOWN };
    // One that would go on if it were still wanted is not: this launch takes its place.
    for (const old of this.draining()) if (sameKey(old.key, key)) old.supersede();
    try {
      const backend = await bringUp(request, this.registry(key));
      this.budget.succeeded(key);
      return { backend, how: "launched" };
    } catch (error) {
      // Cut short by our own end: the next broker launches it.
      if (this.stopping) return { refusal: SHUTTING_DOWN };
      if (hasCode(error, "RATE_LIMITED")) {
        this.budget.undo(key);
        return { refusal: refuse("RATE_LIMITED", reasonOf(error), { retryAfterMs: SPAWN_RETRY_MS }) };
      }
      return { refusal: spawnRefusal(error) };
    }
  }

  private registry(key: BackendKey): LaunchRegistry {
    const id = keyText(key);
    const { clock } = this.options;
    let stable = false;
    let settling: { readonly published: LaunchedBackend; readonly timer: Timer } | undefined;
    const unsettle = (backend: LaunchedBackend): void => {
      if (settling?.published !== backend) return;
      settling.timer.cancel();
      settling = undefined;
    };
    return {
      started: (started) => {
        this.owned.add(started);
        void started.ended.then(() => this.owned.delete(started));
        // One that was taken over at this moment keeps running, as the others do.
        if (this.stopping && started.state === "spawning") started.stop();
        if (this.gone && started.state !== "spawning") started.letGo();
      },
      publish: (published) => {
        const old = this.running.get(id);
        this.running.set(id, published);
        if (old !== published) (old as LaunchedBackend | undefined)?.supersede();
        const settle = (): void => {
          settling = undefined;
          if (this.running.get(id) !== published) return;
          stable = true;
          this.recovery.forget(key);
        };
        settling?.timer.cancel();
        settling = { published, timer: clock.schedule(STABLE_MS, settle, { weak: true }) };
      },
      unpublish: (gone, why) => {
        // A timer left behind would hold on to all there is of it.
        unsettle(gone);
        this.dropIfCurrent(id, gone);
        // It did nothing wrong, so what comes next is no repetition.
        if (why === "replaced" || why === "idle") this.recovery.forget(key);
      },
      crashed: (backend, crash) => {
        if (stable && crash.exit === "status 0") return;
        const nowMs = clock.monotonicMs();
        const crashes = this.recovery.crashed(key, nowMs, { ...crash, atUnixMs: Math.round(clock.wallMs()) });
        this.options.onCrash?.(backend, crash, crashes, this.recovery.delayMs(key, nowMs));
      },
    };
  }

  /** A backend whose definition changed in something that concerns its process is left to those that have it. */
  private isStillMeant(backend: Backend, definition: ServiceDefinition): boolean {
    if (backend.definition === undefined) return true;
    if (!meansSameLaunch(backend.definition, definition, backend.key.version)) return false;
    backend.definition = definition;
    return true;
  }

  private dropStale(id: string, backend: Backend): void {
    backend.retire();
    this.dropIfCurrent(id, backend);
  }

  private dropIfCurrent(id: string, backend: Backend): void {
    if (this.running.get(id) === backend) this.running.delete(id);
  }
}

/** Does it have an identity yet, and still? */
function isKnown({ state }: LaunchedBackend): boolean {
  return state === "running" || state === "draining";
}

/** Whatever failed on the way up: the frozen prefix, the reason, and the backend's last words. */
function spawnRefusal(error: unknown): Refusal {
  const details: Record<string, string> = {};
  if (isBrokerError(error)) Object.assign(details, spawnDetails(error));
  const lastWords =
    details.log_tail === undefined ? "" : `; last output: ${details.log_tail.slice(-REASON_TAIL_CHARS)}`;
  return refuse("BACKEND_SPAWN_FAILED", `backend spawn failed: ${reasonOf(error)}${lastWords}`, {
    retryAfterMs: SPAWN_RETRY_MS,
    details,
  });
}

function spawnDetails(error: BrokerError): Record<string, string> {
  const { logTail, logPath, exit, check, path, syscall, errno } = error.details;
  return {
    error: error.code,
    ...(logTail !== undefined && logTail !== "" && { log_tail: logTail }),
    ...(logPath !== undefined && { log_path: logPath }),
    ...(exit !== undefined && { exit }),
    ...(check !== undefined && { check }),
    ...(path !== undefined && { path }),
    ...(syscall !== undefined && { syscall }),
    ...(errno !== undefined && { errno }),
  };
}
