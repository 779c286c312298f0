/**
 * What a broker asks of a backend over one control channel beside handoffs, and what the backend reports of itself there.
 * Requests are matched with outcomes by id; each is settled exactly once: by its outcome, its deadline, or the end of the
 * channel. A backend that has not announced that it answers a request is not sent one.
 */
import { type Deadline, sleep } from "../../base/clock.ts";
import { hasCode } from "../../base/errors.ts";
import type { Connection } from "../../platform/ports/index.ts";
import { type ControlArm, type ControlFeature, encodeControlToBackend, hasFeature } from "../../wire/control.ts";
import { type ControlMessage, type Leases, OutcomeStatus, QuiesceReason } from "../../wire/messages.ts";

/** What a backend said last that it works on. Counts are its own word: they decide when it is asked, not what it answers. */
export interface LeaseReport {
  /** None of the three below. */
  readonly idle: boolean;
  readonly requests: number;
  readonly connections: number;
  /** Leases that the backend's own code holds, and the reasons of some. */
  readonly held: number;
  readonly reasons: readonly string[];
  /** Requests and leases since the process began: a change means work, even between two idle reports. */
  readonly begun: bigint;
}

export type QuiesceOutcome = "quiesced" | "refused" | "unsupported" | "timed-out";
export type QuiesceCause = "idle-timeout" | "broker-shutdown" | "maintenance";

export interface ReleaseOutcome {
  readonly result: "released" | "nothing-held" | "failed" | "timed-out" | "unsupported";
  /** Why, for people; empty when there is nothing to say. */
  readonly detail: string;
}

/** What can be asked of a backend, and heard from it, whatever its channel is at the moment. */
export interface BackendControl {
  /** Undefined before the first report, and when the backend makes none or has no channel. */
  leases(): LeaseReport | undefined;
  /** Calls back after each report that differs from the one before, and when reports end. One callback; it must not throw. */
  onLeaseChange(callback: (report: LeaseReport | undefined) => void): void;
  /**
   * Asks it to take no new work, to finish what it has and to end. `quiesced`: it has nothing left, and may be sent
   * SIGTERM. `timed-out`: it may be about to, and still finish. With the cause `idle-timeout` a busy one refuses.
   */
  quiesce(deadline: Deadline, cause: QuiesceCause): Promise<QuiesceOutcome>;
  /** Asks it to let go of everything at and below an absolute, normalised path. */
  releaseHandles(path: string, deadline: Deadline): Promise<ReleaseOutcome>;
}

/** What a backend has said so far, for a broker that takes its channel over. */
export interface ControlMemory {
  readonly features: bigint;
  readonly leases: LeaseReport | undefined;
  /** The last id of a request; answers to earlier ones may still come. */
  readonly lastRequestId: bigint;
}

export interface ControlRequests extends BackendControl {
  readonly memory: ControlMemory;
  /** A message of the backend. */
  take(message: ControlMessage["message"]): void;
  /** The connection has become the channel, which the backend waits to hear. */
  confirmAttached(deadline: Deadline): void;
  /** The channel has ended: everything that waits ends with it. */
  end(detail: string): void;
}

export interface ControlRequestsOptions {
  readonly connection: Connection;
  /** Default: the backend has said nothing yet. */
  readonly memory?: ControlMemory | undefined;
  /** Resolves when no message is being written; what is written synchronously after that is in nobody's way. */
  readonly turn: () => Promise<void>;
  /** The rest of a message that found room for its beginning only. */
  readonly sendRest: (bytes: Uint8Array, deadline: Deadline) => void;
}

/** Kept of what a backend says; longer texts are cut, more of them dropped. */
const MAX_REASONS = 8;
const MAX_REASON_CHARS = 64;
const MAX_DETAIL_CHARS = 1_000;
/** A channel has no room only while its backend reads nothing; there is no event for that which offers do not need more. */
const ROOM_RETRY_MS = 20;

type Reply =
  | { readonly by: "outcome"; readonly status: OutcomeStatus; readonly detail: string }
  | { readonly by: "deadline"; readonly detail: string }
  | { readonly by: "end"; readonly detail: string };

const CAUSES: Readonly<Record<QuiesceCause, QuiesceReason>> = {
  "idle-timeout": QuiesceReason.IDLE_TIMEOUT,
  "broker-shutdown": QuiesceReason.BROKER_SHUTDOWN,
  maintenance: QuiesceReason.MAINTENANCE,
};

export function createControlRequests(options: ControlRequestsOptions): ControlRequests {
  return new Requests(options);
}

class Requests implements ControlRequests {
  private features = 0n;
  private last: LeaseReport | undefined;
  private changed: (report: LeaseReport | undefined) => void = () => {};
  private lastId = 0n;
  private ended: string | undefined;
  private readonly waiting = new Map<bigint, (reply: Reply) => void>();

  constructor(private readonly options: ControlRequestsOptions) {
    const { memory } = options;
    if (memory === undefined) return;
    this.features = memory.features;
    this.last = memory.leases;
    this.lastId = memory.lastRequestId;
  }

  get memory(): ControlMemory {
    return { features: this.features, leases: this.last, lastRequestId: this.lastId };
  }

  leases(): LeaseReport | undefined {
    return this.last;
  }

  onLeaseChange(callback: (report: LeaseReport | undefined) => void): void {
    this.changed = callback;
  }

  async quiesce(deadline: Deadline, cause: QuiesceCause): Promise<QuiesceOutcome> {
    if (!this.answers("quiesce")) return "unsupported";
    const reply = await this.ask(deadline, (id) => ({
      case: "quiesce",
      value: { id, reason: CAUSES[cause], timeoutMs: timeoutOf(deadline) },
    }));
    if (reply.by === "deadline") return "timed-out";
    // It answers before it closes: one that is gone without a word is no proof of anything.
    if (reply.by === "end") return "refused";
    switch (reply.status) {
      case OutcomeStatus.DONE:
        return "quiesced";
      case OutcomeStatus.UNSUPPORTED:
        return "unsupported";
      default:
        return "refused";
    }
  }

  async releaseHandles(path: string, deadline: Deadline): Promise<ReleaseOutcome> {
    if (!this.answers("releaseHandles")) return { result: "unsupported", detail: this.ended ?? "" };
    const reply = await this.ask(deadline, (id) => ({
      case: "releaseHandles",
      value: { id, path, timeoutMs: timeoutOf(deadline) },
    }));
    const { detail } = reply;
    if (reply.by === "deadline") return { result: "timed-out", detail };
    if (reply.by === "end") return { result: "failed", detail };
    switch (reply.status) {
      case OutcomeStatus.DONE:
        return { result: "released", detail };
      case OutcomeStatus.NOTHING_HELD:
        return { result: "nothing-held", detail };
      case OutcomeStatus.UNSUPPORTED:
        return { result: "unsupported", detail };
      default:
        return { result: "failed", detail };
    }
  }

  take(message: ControlMessage["message"]): void {
    switch (message.case) {
      case "announce":
        this.features = message.value.features;
        return;
      case "leases":
        return this.takeLeases(message.value);
      case "outcome": {
        const { id, status, detail } = message.value;
        // Too late, or never asked.
        this.waiting.get(id)?.({ by: "outcome", status, detail: detail.slice(0, MAX_DETAIL_CHARS) });
        return;
      }
    }
  }

  confirmAttached(deadline: Deadline): void {
    void this.send({ case: "attached", value: {} }, deadline, () => true);
  }

  end(detail: string): void {
    this.ended ??= detail;
    for (const settle of [...this.waiting.values()]) settle({ by: "end", detail });
    if (this.last === undefined) return;
    this.last = undefined;
    this.changed(undefined);
  }

  private answers(feature: ControlFeature): boolean {
    return this.ended === undefined && hasFeature(this.features, feature);
  }

  private takeLeases(value: Leases): void {
    const report = leaseReport(value);
    const { last } = this;
    this.last = report;
    if (last === undefined || differs(last, report)) this.changed(report);
  }

  private ask(deadline: Deadline, message: (id: bigint) => ControlArm): Promise<Reply> {
    this.lastId++;
    const id = this.lastId;
    return new Promise((resolve) => {
      const timer = deadline.arm(() => settle({ by: "deadline", detail: "the backend did not answer in time" }));
      const settle = (reply: Reply): void => {
        timer.cancel();
        this.waiting.delete(id);
        resolve(reply);
      };
      this.waiting.set(id, settle);
      void this.send(message(id), deadline, () => this.waiting.has(id));
    });
  }

  /** As soon as there is room, unless `wanted` says that it is not worth it any more. */
  private async send(message: ControlArm, deadline: Deadline, wanted: () => boolean): Promise<void> {
    const { connection, turn, sendRest } = this.options;
    const bytes = encodeControlToBackend(message);
    for (;;) {
      await turn();
      if (this.ended !== undefined || !wanted() || deadline.passed()) return;
      const sent = sendOrNothing(connection, bytes);
      if (sent === bytes.length) return;
      if (sent > 0) return sendRest(bytes.subarray(sent), deadline);
      await sleep(deadline.clock, ROOM_RETRY_MS);
    }
  }
}

export function leaseReport({ requests, connections, held, reasons, begun }: Leases): LeaseReport {
  return {
    idle: requests === 0 && connections === 0 && held === 0,
    requests,
    connections,
    held,
    reasons: reasons.slice(0, MAX_REASONS).map((reason) => reason.slice(0, MAX_REASON_CHARS)),
    begun,
  };
}

function sendOrNothing(connection: Connection, bytes: Uint8Array): number {
  try {
    return connection.sendNow(bytes);
  } catch (error) {
    // Whoever reads finds out that it is broken, and ends what waits.
    if (hasCode(error, "IO_FAILED")) return 0;
    throw error;
  }
}

function differs(a: LeaseReport, b: LeaseReport): boolean {
  return (
    a.requests !== b.requests ||
    a.connections !== b.connections ||
    a.held !== b.held ||
    a.begun !== b.begun ||
    a.reasons.join("\0") !== b.reasons.join("\0")
  );
}

function timeoutOf(deadline: Deadline): bigint {
  const ms = deadline.remainingMs();
  return Number.isFinite(ms) ? BigInt(Math.ceil(ms)) : BigInt(Number.MAX_SAFE_INTEGER);
}
