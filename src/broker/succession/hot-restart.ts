/**
 * Hot restart: a new process takes the place of this one (docs/architecture.md, "Hot restart"). Three phases:
 *
 *   getting ready   the new process starts, reads its arguments and says that it could serve; this broker serves on
 *   switching       nothing is accepted, what has been read waits, backends are left alone, everything is handed over
 *   gone            the new process serves; what was read here, then or later, is relayed to it
 *
 * The last begins with one synchronous step here: until then the new process does nothing with what it was given, so it can
 * be killed, and this broker goes on.
 */
import { type Clock, Deadline, sleep } from "../../base/clock.ts";
import { runAll } from "../../base/disposal-stack.ts";
import { BrokerError, isBrokerError } from "../../base/errors.ts";
import type { Connection } from "../../platform/ports/index.ts";
import type { Frame } from "../../wire/messages.ts";
import type { Activation } from "../activation/activation.ts";
import type { EndpointKeeper } from "../endpoint/endpoint-keeper.ts";
import type { RestartReport } from "../events/reports.ts";
import type { SuspendedBackend } from "../supervisor/backend.ts";
import type { Estate, Successor } from "./successor.ts";

/** The requests that this broker has read and not answered. */
export interface OpenRequests {
  /** It waits for others to be answered, and is not to be waited for. */
  markWaiting(connection: Connection): void;
  /** Resolves when none is being answered. */
  quiet(): Promise<void>;
  /** Has one been answered for longer than that? */
  hasLongWork(ms: number): boolean;
}

export interface RestartOptions {
  readonly clock: Clock;
  /** @throws BrokerError RESTART_FAILED */
  readonly launch: () => Promise<Successor>;
  readonly keeper: EndpointKeeper;
  readonly connections: OpenRequests;
  readonly activation: Activation;
  readonly counts: () => Pick<Estate, "accepted" | "lastConnectionId">;
  readonly onBegin: () => void;
  readonly onFailed: (error: unknown) => void;
  /** It was called off, and this process cannot accept any more. Must not throw. */
  readonly onDeaf: (error: unknown) => void;
  /** This process is not the broker any more. Must not throw. */
  readonly onGone: () => void;
  /** Something that goes with it failed, and does not change that. Must not throw. */
  readonly onFault: (step: string, error: unknown) => void;
  /** The same, when everything of the switch is done. */
  readonly onLeft: (report: RestartReport) => void;
}

export interface Restart {
  /**
   * Calls while one is under way join it.
   *
   * @throws BrokerError RESTART_FAILED, DEADLINE_EXCEEDED; this broker goes on then, unless the new process died or hung
   * after it had taken over
   */
  run(timeoutMs: number): Promise<RestartReport>;
  /**
   * For a request that has been read: undefined when it is to be served here and now. Else resolves when that is known: true
   * when connection and request are the new process's. False also when it cannot be reached any more.
   */
  relay(connection: Connection, frame: Frame): Promise<boolean> | undefined;
  /** Gives up what has not gone too far. Resolves when the broker is this process alone, or is not any more. */
  abort(): Promise<void>;
}

/** For what is being answered when accepting stops; then it is tried again later. */
const QUIET_MS = 250;
/** What has been worked on for longer is waited for with the door open. */
const LONG_WORK_MS = 50;
const RETRY_MS = 50;
/** For the new process to take everything, which is all that clients wait for. */
const HAND_OVER_MS = 5_000;

export function createRestart(options: RestartOptions): Restart {
  return new HotRestart(options);
}

type Place = "here" | "there";

interface Switched extends Pick<RestartReport, "backends" | "switchMs"> {
  /** Resolves once the new process accepts. @throws BrokerError RESTART_FAILED, DEADLINE_EXCEEDED */
  readonly serving: Promise<void>;
}

class HotRestart implements Restart {
  private running: Promise<RestartReport> | undefined;
  /** Set once it is the broker. */
  private successor: Successor | undefined;
  private readonly abortion = new AbortController();
  /** Set while requests wait for the outcome, and for good once it is `there`. */
  private place: { readonly known: Promise<Place>; settle(place: Place): void } | undefined;

  constructor(private readonly options: RestartOptions) {}

  run(timeoutMs: number): Promise<RestartReport> {
    this.running ??= this.attempt(timeoutMs).finally(() => {
      this.running = undefined;
    });
    return this.running;
  }

  relay(connection: Connection, frame: Frame): Promise<boolean> | undefined {
    const { place } = this;
    if (place === undefined) return undefined;
    // Not to be closed under the message that carries it.
    this.options.connections.markWaiting(connection);
    return place.known.then((known) => known === "there" && this.send(connection, frame));
  }

  async abort(): Promise<void> {
    this.abortion.abort();
    await this.running?.catch(() => {});
  }

  private async send(connection: Connection, frame: Frame): Promise<boolean> {
    try {
      await this.successor?.relay(connection, frame);
      return this.successor !== undefined;
    } catch (error) {
      if (!isBrokerError(error)) throw error;
      return false;
    }
  }

  private async attempt(timeoutMs: number): Promise<RestartReport> {
    const { clock, onBegin, onFailed, onLeft } = this.options;
    const beganMs = clock.monotonicMs();
    // While nothing is accepted or read, nothing else keeps this process alive.
    const alive = clock.schedule(Number.POSITIVE_INFINITY, () => {});
    onBegin();
    try {
      const { serving, ...switched } = await this.replace(Deadline.after(clock, timeoutMs));
      const report = { ...switched, durationMs: clock.monotonicMs() - beganMs };
      // There is no way back any more, only an answer to give.
      onLeft(report);
      await serving;
      return report;
    } catch (error) {
      onFailed(error);
      throw error;
    } finally {
      alive.cancel();
    }
  }

  private async replace(deadline: Deadline): Promise<Omit<RestartReport, "durationMs"> & Switched> {
    const successor = await this.options.launch();
    try {
      const version = await this.inTime(successor.prepared(deadline), deadline, "the new process got ready");
      return { pid: successor.pid, version, ...(await this.switchWhenQuiet(successor, deadline)) };
    } catch (error) {
      // Until it is gone it may have descriptors of ours. Once it is the broker it is none of ours to end.
      if (this.successor === undefined) await successor.end();
      throw error;
    }
  }

  /** Closes the door only for what is over in a moment, and as often as it takes. */
  private async switchWhenQuiet(successor: Successor, deadline: Deadline): Promise<Switched> {
    const { clock, activation, connections } = this.options;
    for (;;) {
      // A launch belongs to the process that began it.
      while (activation.launching > 0 || activation.adopting > 0)
        await this.inTime(activation.settled(), deadline, "launches were in progress");
      const switchedMs = clock.monotonicMs();
      const switched = connections.hasLongWork(LONG_WORK_MS) ? undefined : await this.trySwitch(successor, deadline);
      if (switched !== undefined) return { ...switched, switchMs: clock.monotonicMs() - switchedMs };
      await this.inTime(sleep(clock, RETRY_MS), deadline, "requests were being answered");
    }
  }

  /** Undefined when something is still being answered. */
  private async trySwitch(successor: Successor, deadline: Deadline): Promise<Omit<Switched, "switchMs"> | undefined> {
    const { keeper, connections, activation, counts } = this.options;
    this.hold();
    let backends: readonly SuspendedBackend[];
    try {
      const claim = keeper.suspend();
      if (claim === undefined)
        throw new BrokerError("RESTART_FAILED", "the socket is just being bound anew, or its lock is somebody else's");
      if (!(await isSoon(connections.quiet(), deadline.within(QUIET_MS)))) {
        this.stay(keeper);
        return undefined;
      }
      const suspending = activation.suspend();
      backends = await this.inTime(suspending, deadline, "a control channel was being written to");
      const handingOver = successor.handOver({ claim, backends, ...counts() }, deadline.within(HAND_OVER_MS));
      await this.inTime(handingOver, deadline, "the new process took over");
    } catch (error) {
      await successor.end();
      activation.resume();
      this.stay(keeper);
      throw error;
    }
    return { backends: backends.length, serving: this.yield(successor) };
  }

  /**
   * The point of no return. Nothing here waits, so nothing sees it half done; and nothing that fails keeps the rest from
   * being done, or ends the process that is the broker now.
   */
  private yield(successor: Successor): Promise<void> {
    const { clock, keeper, activation, onGone, onFault } = this.options;
    this.successor = successor;
    const serving = successor.yours(Deadline.after(clock, HAND_OVER_MS));
    const failure = runAll([() => activation.letGo(), () => keeper.letGo(), () => this.place?.settle("there"), onGone]);
    if (failure !== undefined) onFault("letting go", failure.error);
    return serving;
  }

  private stay(keeper: EndpointKeeper): void {
    const failure = runAll([() => keeper.open()]);
    this.place?.settle("here");
    this.place = undefined;
    if (failure !== undefined) this.options.onDeaf(failure.error);
  }

  private hold(): void {
    let settle = (_: Place): void => {};
    const known = new Promise<Place>((resolve) => {
      settle = resolve;
    });
    this.place = { known, settle };
  }

  /** @throws BrokerError DEADLINE_EXCEEDED, RESTART_FAILED when it is given up */
  private inTime<T>(work: Promise<T>, deadline: Deadline, what: string): Promise<T> {
    const { signal } = this.abortion;
    return new Promise((resolve, reject) => {
      const aborted = (): void => reject(new BrokerError("RESTART_FAILED", "the broker is shutting down"));
      if (signal.aborted) return aborted();
      signal.addEventListener("abort", aborted, { once: true });
      const timer = deadline.arm(() =>
        reject(new BrokerError("DEADLINE_EXCEEDED", `the time for the restart was up while ${what}`)),
      );
      work.then(resolve, reject).finally(() => {
        timer.cancel();
        signal.removeEventListener("abort", aborted);
      });
    });
  }
}

/** Does `work` end before the deadline? */
function isSoon(work: Promise<void>, deadline: Deadline): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = deadline.arm(() => resolve(false));
    void work.then(() => {
      timer.cancel();
      resolve(true);
    });
  });
}
