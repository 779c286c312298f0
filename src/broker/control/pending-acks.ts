/**
 * Offers that were sent on a control channel and are not acknowledged yet, and when the channel is read for them.
 *
 * An acknowledgement that no client waits for is left lying for a millisecond. Without that the broker is woken by each, just
 * when the backend is about to answer the client, and on a busy machine takes the processor from it.
 */
import type { Clock, Deadline, Timer } from "../../base/clock.ts";
import type { StageResult } from "../../model/handoff-stages.ts";
import type { ReadableWatch } from "../../platform/ports/index.ts";
import { checkAck, type Offer } from "../../wire/handoff.ts";
import type { Frame } from "../../wire/messages.ts";
import type { AckUrgency } from "../handoff/handoff-transport.ts";

export interface PendingAcks {
  /** No offer waits. */
  readonly none: boolean;
  /** Resolves with what became of the offer: acknowledged, refused, late, or what `settle` says. */
  wait(offer: Offer, urgency: AckUrgency, deadline: Deadline): Promise<StageResult>;
  /** An acknowledgement that was read. One for an offer that does not wait any more is ignored: its connection is dead. */
  acknowledged(frame: Frame): void;
  /** Ends the wait for one offer, if there is one. */
  settle(correlationId: bigint, result: StageResult): void;
  settleAll(result: StageResult): void;
  /** Acknowledgements are left lying no longer: the channel is watched again. */
  readAtOnce(): void;
  /** The same for a channel that is read no more: it is not watched again. */
  stopWaiting(): void;
  /** Cancels all timers. */
  close(): void;
}

const ACK_LEISURE_MS = 1;

interface Waiting {
  readonly offer: Offer;
  readonly urgency: AckUrgency;
  readonly deadline: Deadline;
  settle(result: StageResult): void;
}

/** `onNone`: the last offer has been settled. Borrows `watch`. */
export function createPendingAcks(clock: Clock, watch: ReadableWatch, onNone: () => void): PendingAcks {
  return new Pending(clock, watch, onNone);
}

class Pending implements PendingAcks {
  /** In the order in which they were offered. */
  private readonly waiting = new Map<bigint, Waiting>();
  private patience: Timer | undefined;
  /** Set while acknowledgements are left lying. */
  private leisure: Timer | undefined;

  constructor(
    private readonly clock: Clock,
    private readonly watch: ReadableWatch,
    private readonly onNone: () => void,
  ) {}

  get none(): boolean {
    return this.waiting.size === 0;
  }

  wait(offer: Offer, urgency: AckUrgency, deadline: Deadline): Promise<StageResult> {
    return new Promise((resolve) => {
      const settle = (result: StageResult): void => {
        this.waiting.delete(offer.correlationId);
        resolve(result);
        if (this.none) this.onNone();
      };
      this.waiting.set(offer.correlationId, { offer, urgency, deadline, settle });
      this.patience ??= this.expireAt(deadline);
      if (urgency === "at-once") this.readAtOnce();
      else this.readAtLeisure();
    });
  }

  acknowledged(frame: Frame): void {
    const waiting = this.waiting.get(frame.requestId);
    waiting?.settle(checkAck(frame, waiting.offer));
  }

  settle(correlationId: bigint, result: StageResult): void {
    this.waiting.get(correlationId)?.settle(result);
  }

  settleAll(result: StageResult): void {
    for (const { settle } of [...this.waiting.values()]) settle(result);
  }

  readAtOnce(): void {
    if (this.leisure === undefined) return;
    this.stopWaiting();
    this.watch.resume();
  }

  stopWaiting(): void {
    this.leisure?.cancel();
    this.leisure = undefined;
  }

  close(): void {
    this.leisure?.cancel();
    this.patience?.cancel();
  }

  /** One timer for all, on the oldest, which is not moved for each of them: all have the same time. */
  private expireAt(deadline: Deadline): Timer {
    return deadline.arm(() => this.expire(), { weak: true });
  }

  private expire(): void {
    this.patience = undefined;
    for (const { deadline, settle } of [...this.waiting.values()]) {
      if (deadline.passed()) settle({ ok: false, detail: "the backend did not acknowledge in time" });
      else if (this.patience === undefined) this.patience = this.expireAt(deadline);
    }
  }

  private readAtLeisure(): void {
    if (this.leisure !== undefined || this.isClientWaiting()) return;
    this.watch.pause();
    this.leisure = this.clock.schedule(ACK_LEISURE_MS, () => this.readAtOnce());
  }

  private isClientWaiting(): boolean {
    for (const { urgency } of this.waiting.values()) if (urgency === "at-once") return true;
    return false;
  }
}
