/**
 * Hot restart: a new process takes the place of this one (docs/architecture.md, "Hot restart"). Three phases:
 *
 *   getting ready   the new process starts, reads its arguments and says that it could serve; this broker serves on
 *   switching       nothing is accepted, what was read waits, what is being answered is finished, backends are left alone;
 *                   then everything is handed over
 *   gone            the new process serves; what was read here, then or later, is relayed to it
 *
 * Whatever fails before the last one ends the new process and undoes the second: this broker goes on.
 */
import { type Clock, Deadline } from "../base/clock.ts";
import { BrokerError } from "../base/errors.ts";
import type { Connection } from "../platform/ports.ts";
import type { Frame } from "../wire/messages.ts";
import type { Activation } from "./activation.ts";
import type { Connections } from "./connections.ts";
import type { EndpointKeeper } from "./endpoint-keeper.ts";
import type { Estate, Successor } from "./successor.ts";

export interface RestartOptions {
  readonly clock: Clock;
  /** @throws BrokerError RESTART_FAILED */
  readonly launch: () => Promise<Successor>;
  readonly keeper: EndpointKeeper;
  readonly connections: Connections;
  readonly activation: Activation;
  readonly counts: () => Pick<Estate, "accepted" | "lastConnectionId">;
  readonly onBegin: () => void;
  readonly onFailed: (error: unknown) => void;
  /** This process is not the broker any more. */
  readonly onGone: (report: RestartReport) => void;
}

export interface RestartReport {
  readonly pid: number;
  /** Of the new process's package. */
  readonly version: string;
  /** Backends that were handed over. */
  readonly backends: number;
  readonly durationMs: number;
  /** Of that, how long nothing was accepted. */
  readonly switchMs: number;
}

export interface Restart {
  /** Calls while one is under way join it. @throws BrokerError RESTART_FAILED, DEADLINE_EXCEEDED; this broker goes on then */
  run(timeoutMs: number): Promise<RestartReport>;
  /**
   * For a request that has been read: undefined when it is to be served here and now. Else resolves when that is known:
   * true when connection and request are the new process's.
   *
   * @throws BrokerError the connection could not be relayed
   */
  elsewhere(connection: Connection, frame: Frame): Promise<boolean> | undefined;
  /** Gives up what has not gone too far. Resolves when the broker is this process alone, or is not any more. */
  abort(): Promise<void>;
}

/** How long clients may have to wait for the switch at most. */
const SWITCH_MS = 10_000;

export function createRestart(options: RestartOptions): Restart {
  return new HotRestart(options);
}

type Place = "here" | "there";

class HotRestart implements Restart {
  private running: Promise<RestartReport> | undefined;
  private successor: Successor | undefined;
  private aborted = false;
  /** Set while requests wait for the outcome, and for good once it is `there`. */
  private place: { readonly known: Promise<Place>; settle(place: Place): void } | undefined;

  constructor(private readonly options: RestartOptions) {}

  run(timeoutMs: number): Promise<RestartReport> {
    this.running ??= this.attempt(timeoutMs).finally(() => {
      this.running = undefined;
    });
    return this.running;
  }

  elsewhere(connection: Connection, frame: Frame): Promise<boolean> | undefined {
    return this.place?.known.then(async (place) => {
      if (place === "there") await this.successor?.relay(connection, frame);
      return place === "there";
    });
  }

  async abort(): Promise<void> {
    this.aborted = true;
    if (this.running === undefined) return;
    void this.successor?.end();
    await this.running.catch(() => {});
  }

  private async attempt(timeoutMs: number): Promise<RestartReport> {
    const { clock, launch, onBegin, onFailed, onGone } = this.options;
    const beganMs = clock.monotonicMs();
    const deadline = Deadline.after(clock, timeoutMs);
    // While nothing is accepted or read, nothing else keeps this process alive.
    const alive = clock.schedule(Number.POSITIVE_INFINITY, () => {});
    onBegin();
    try {
      const successor = await launch();
      this.successor = successor;
      this.checkAborted();
      const version = await successor.prepared(deadline);
      await this.launchesSettled(deadline);
      const switchedMs = clock.monotonicMs();
      const backends = await this.switchTo(successor, deadline.within(SWITCH_MS));
      const nowMs = clock.monotonicMs();
      const report = {
        pid: successor.pid,
        version,
        backends,
        durationMs: nowMs - beganMs,
        switchMs: nowMs - switchedMs,
      };
      onGone(report);
      return report;
    } catch (error) {
      await this.successor?.end();
      this.successor = undefined;
      const failure = this.aborted ? new BrokerError("RESTART_FAILED", "the broker is shutting down") : error;
      onFailed(failure);
      throw failure;
    } finally {
      alive.cancel();
    }
  }

  /** A launch belongs to the process that began it. */
  private async launchesSettled(deadline: Deadline): Promise<void> {
    const { activation } = this.options;
    while (activation.launching > 0 || activation.adopting > 0) {
      await inTime(activation.settled(), deadline, "launches are still in progress");
    }
    this.checkAborted();
  }

  private async switchTo(successor: Successor, deadline: Deadline): Promise<number> {
    const { keeper, connections, activation, counts } = this.options;
    this.hold();
    const claim = keeper.suspend();
    try {
      if (claim === undefined) throw new BrokerError("RESTART_FAILED", "the socket is just being bound anew");
      await inTime(connections.quiet(), deadline, "requests are still being answered");
      this.checkAborted();
      const backends = await activation.suspend();
      await successor.handOver({ claim, backends, ...counts() }, deadline);
      activation.letGo();
      keeper.letGo();
      this.place?.settle("there");
      return backends.length;
    } catch (error) {
      // Until it is gone it may be reading what is ours.
      await successor.end();
      activation.resume();
      if (claim !== undefined) keeper.open();
      this.place?.settle("here");
      this.place = undefined;
      throw error;
    }
  }

  private hold(): void {
    let settle = (_: Place): void => {};
    const known = new Promise<Place>((resolve) => {
      settle = resolve;
    });
    this.place = { known, settle };
  }

  private checkAborted(): void {
    if (this.aborted) throw new BrokerError("RESTART_FAILED", "the broker is shutting down");
  }
}

async function inTime(work: Promise<unknown>, deadline: Deadline, what: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const timer = deadline.arm(() =>
      reject(new BrokerError("DEADLINE_EXCEEDED", `the time for the restart passed while ${what}`)),
    );
    void work.finally(() => {
      timer.cancel();
      resolve();
    });
  });
}
