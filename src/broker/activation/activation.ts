/**
 * Finding or launching the backend of a key. Single flight: the first Hello for a key that is not running launches it,
 * later ones join that launch, and no Hello waits for another key's.
 */
import { type Clock, sleep } from "../../base/clock.ts";
import { hasCode, reasonOf } from "../../base/errors.ts";
import type { MaybePromise } from "../../base/maybe-promise.ts";
import { type BackendKey, keyText, sameKey } from "../../model/backend-key.ts";
import { meansSameLaunch } from "../../model/launch-means.ts";
import type { CrashRow } from "../../model/recovery.ts";
import { type Refusal, refuse } from "../../model/refusal.ts";
import type { ServiceDefinition } from "../../model/service-definition.ts";
import type { Connection } from "../../platform/ports/index.ts";
import type { ActivationHow } from "../events/reports.ts";
import type { LaunchRequest } from "../launch/launch-request.ts";
import type { Backend, LaunchedBackend, LaunchRegistry, SuspendedBackend } from "../supervisor/backend.ts";
import { type Admission, type BudgetRow, createAdmission } from "./admission.ts";
import { createLaunchRegistry, type RegistryOptions } from "./launch-registry.ts";
import { Roster } from "./roster.ts";
import { SPAWN_RETRY_MS, spawnRefusal } from "./spawn-refusal.ts";

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

export interface ActivationOptions {
  readonly clock: Clock;
  /** Absent in registered mode: nothing is launched. */
  readonly bringUp?: (request: LaunchRequest, registry: LaunchRegistry) => Promise<LaunchedBackend>;
  readonly onCrash?: RegistryOptions["onCrash"];
}

/** Hellos that may wait for one launch; a client that floods gets told to come back. */
const MAX_JOINED = 4096;
/** Launches in progress at one time, over all keys. */
const MAX_LAUNCHING = 64;
const SHUTTING_DOWN = refuse("SHUTTING_DOWN", "broker is shutting down");

export function createActivation(options: ActivationOptions): Activation {
  return new SingleFlight(options);
}

interface Flight {
  readonly result: Promise<Activated>;
  joined: number;
}

class SingleFlight implements Activation {
  private readonly roster = new Roster();
  private readonly flights = new Map<string, Flight>();
  private readonly adoptions = new Map<string, Promise<void>>();
  private readonly admission: Admission;
  private stopping = false;
  /** Another broker has the backends, or is to have them. */
  private gone = false;

  constructor(private readonly options: ActivationOptions) {
    this.admission = createAdmission(options.clock);
  }

  get launching(): number {
    return this.flights.size;
  }

  get adopting(): number {
    return this.adoptions.size;
  }

  get alive(): number {
    return this.roster.alive + this.adoptions.size;
  }

  activate(request: LaunchRequest): MaybePromise<Activated> {
    const id = keyText(request.key);
    const backend = this.roster.current(id);
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
    for (let backend = this.roster.current(id); backend !== undefined; backend = this.roster.current(id)) {
      if (backend.definition !== request.definition && !this.isStillMeant(backend, request.definition)) break;
      if ((await backend.isServing()) && this.roster.current(id) === backend) return { backend, how: "reused" };
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
    this.roster.register(backend);
  }

  backends(): readonly Backend[] {
    return this.roster.backends();
  }

  budgets(): readonly BudgetRow[] {
    return this.admission.budgets((key) => this.flights.has(keyText(key)));
  }

  crashes(): readonly CrashRow[] {
    return this.admission.crashes();
  }

  launched(): readonly LaunchedBackend[] {
    return this.roster.launched();
  }

  draining(): readonly LaunchedBackend[] {
    return this.roster.draining();
  }

  attachControl(pid: number, endpoint: string, connection: Connection): boolean {
    return this.roster.attachControl(pid, endpoint, connection);
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
    const chosen = this.roster.launched().filter((backend) => what === "all" || backend.state === "spawning");
    for (const backend of chosen) backend.stop();
    await Promise.all(chosen.map((backend) => backend.ended));
    await this.settled();
  }

  suspend(): Promise<readonly SuspendedBackend[]> {
    return this.roster.suspend();
  }

  resume(): void {
    this.roster.resume();
  }

  letGo(): void {
    this.stopping = true;
    this.gone = true;
    this.roster.letGo();
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
    return this.admission.begin(key);
  }

  private async fly(request: LaunchRequest): Promise<Activated> {
    const bringUp = this.options.bringUp as NonNullable<ActivationOptions["bringUp"]>;
    const { clock } = this.options;
    const { key } = request;
    const delayMs = this.admission.delayMs(key);
    if (delayMs > 0) await sleep(clock, delayMs);
    if (this.stopping) return { refusal: SHUTTING_DOWN };
    // One that would go on if it were still wanted is not: this launch takes its place.
    for (const old of this.draining()) if (sameKey(old.key, key)) old.supersede();
    try {
      const backend = await bringUp(request, this.registry(key));
      this.admission.succeeded(key);
      return { backend, how: "launched" };
    } catch (error) {
      // Cut short by our own end: the next broker launches it.
      if (this.stopping) return { refusal: SHUTTING_DOWN };
      if (hasCode(error, "RATE_LIMITED")) {
        this.admission.undo(key);
        return { refusal: refuse("RATE_LIMITED", reasonOf(error), { retryAfterMs: SPAWN_RETRY_MS }) };
      }
      return { refusal: spawnRefusal(error) };
    }
  }

  private registry(key: BackendKey): LaunchRegistry {
    const { admission, roster } = this;
    const { clock, onCrash } = this.options;
    return createLaunchRegistry(key, {
      clock,
      admission,
      roster,
      onCrash,
      isStopping: () => this.stopping,
      isGone: () => this.gone,
    });
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
    this.roster.dropIfCurrent(id, backend);
  }
}
