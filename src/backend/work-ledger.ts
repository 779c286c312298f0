/**
 * What a backend works on: requests in flight, open connections, and leases that its own code takes. The broker hears of
 * it in reports, so that it can tell idle from busy.
 *
 * On the way of a request there are two counters and no more: reports go out at a bounded rate, each with the state at
 * that moment. Work that began and ended between two of them shows in `begun`. Nothing is decided on a report alone: a
 * broker that wants to end an idle backend asks it, and the ledger as it is then answers (control-responder.ts).
 */
import { requireText } from "../base/check-option.ts";
import type { Clock } from "../base/clock.ts";
import type { Leases } from "../wire/messages.ts";

/** Kept by a backend's own code while it works on something that no request shows. */
export interface BackendLease {
  /** May be called again. */
  release(): void;
}

export type WorkCounts = Pick<Leases, "requests" | "connections" | "held" | "reasons" | "begun">;

export interface WorkLedger {
  beginRequest(): void;
  endRequest(): void;
  openConnection(): void;
  closeConnection(): void;
  /** Takes a lease; `reason` is for people, and cut to 64 characters. */
  lease(reason: string): BackendLease;
  counts(): WorkCounts;
  /** What is being worked on, in words; undefined when nothing is. */
  busyWith(): string | undefined;
  /** Leases held. */
  readonly held: number;
  /** Runs whenever the last lease has been released. */
  onReleased(callback: () => void): void;
  /** Gives changes to `report` from now on, at most one every `REPORT_INTERVAL_MS`; undefined: to nobody. */
  reportTo(report: ((counts: WorkCounts) => void) | undefined): void;
}

/** Least time between two reports: a hundred times what a broker decides on, and nothing beside the work itself. */
export const REPORT_INTERVAL_MS = 200;
const MAX_REASONS = 8;
const MAX_REASON_CHARS = 64;

/** `countConnections`: is an open connection work? */
export function createWorkLedger(
  clock: Pick<Clock, "schedule">,
  options: { readonly countConnections: boolean },
): WorkLedger {
  return new Ledger(clock, options.countConnections);
}

class Ledger implements WorkLedger {
  private requests = 0;
  private connections = 0;
  private begun = 0;
  private readonly leases = new Set<{ readonly reason: string }>();
  private report: ((counts: WorkCounts) => void) | undefined;
  private armed = false;
  private released: () => void = () => {};

  constructor(
    private readonly clock: Pick<Clock, "schedule">,
    private readonly countConnections: boolean,
  ) {}

  beginRequest(): void {
    this.requests++;
    this.begun++;
    this.changed();
  }

  endRequest(): void {
    this.requests--;
    this.changed();
  }

  openConnection(): void {
    this.connections++;
    if (this.countConnections) this.changed();
  }

  closeConnection(): void {
    this.connections--;
    if (this.countConnections) this.changed();
  }

  lease(reason: string): BackendLease {
    requireText("reason", reason);
    const lease = { reason: reason.slice(0, MAX_REASON_CHARS) };
    this.leases.add(lease);
    this.begun++;
    this.changed();
    return {
      release: () => {
        if (!this.leases.delete(lease)) return;
        this.changed();
        if (this.leases.size === 0) this.released();
      },
    };
  }

  get held(): number {
    return this.leases.size;
  }

  counts(): WorkCounts {
    return {
      requests: this.requests,
      connections: this.countConnections ? this.connections : 0,
      held: this.leases.size,
      reasons: [...this.leases].slice(0, MAX_REASONS).map(({ reason }) => reason),
      begun: BigInt(this.begun),
    };
  }

  busyWith(): string | undefined {
    const { requests, connections, held, reasons } = this.counts();
    const parts = [
      ...(requests > 0 ? [`${requests} requests in flight`] : []),
      ...(connections > 0 ? [`${connections} open connections`] : []),
      ...(held > 0 ? [`${held} leases (${reasons.join(", ")})`] : []),
    ];
    return parts.length === 0 ? undefined : parts.join(", ");
  }

  onReleased(callback: () => void): void {
    this.released = callback;
  }

  reportTo(report: ((counts: WorkCounts) => void) | undefined): void {
    this.report = report;
  }

  /** The first change after a quiet time waits as long as all others: what is over by then needs one report, not two. */
  private changed(): void {
    if (this.armed || this.report === undefined) return;
    this.armed = true;
    this.clock.schedule(
      REPORT_INTERVAL_MS,
      () => {
        this.armed = false;
        this.report?.(this.counts());
      },
      { weak: true },
    );
  }
}
