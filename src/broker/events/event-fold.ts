/**
 * The broker's events as they are told: of those that are alike the first ones at once, the others as one that stands for
 * them all. Peers cause events at any rate; what is written about them has a bound.
 */
import type { Clock, Timer } from "../../base/clock.ts";
import { createEventFolding, type EventFolding, type FoldingRule } from "../../model/event-folding.ts";
import type { BrokerEvent } from "./broker-event.ts";
import { isAlike, likeness, roughLikeness } from "./record-kinds.ts";

export interface ToldEvent {
  readonly event: BrokerEvent;
  /** Wall-clock time at which it happened; of several, the latest. */
  readonly tsMs: number;
  /** How many it stands for, 1 or more. */
  readonly count: number;
}

export interface EventFold {
  /** `often`: clients cause it at any rate they like. */
  offer(event: BrokerEvent, often: boolean): void;
  /** Tells all that is held. */
  flush(): void;
  /** The same, and nothing more is told. */
  close(): void;
}

/** Hellos: a client's session is all there, a storm is a line in ten seconds. */
const OFTEN: FoldingRule = { burst: 16, refillMs: 10_000 };
/** Launches and ends; only a crash loop comes near it. */
const SELDOM: FoldingRule = { burst: 64, refillMs: 1_000 };

const NEVER = Number.POSITIVE_INFINITY;

interface Happened {
  readonly event: BrokerEvent;
  readonly tsMs: number;
}

/** `tell` is called in the same turn or by a timer that keeps no process alive; it must not throw. */
export function createEventFold(options: {
  readonly clock: Clock;
  readonly tell: (told: ToldEvent) => void;
}): EventFold {
  return new Fold(options.clock, options.tell);
}

class Fold implements EventFold {
  private readonly often = createEventFolding<Happened>(OFTEN);
  private readonly seldom = createEventFolding<Happened>(SELDOM);
  /** The last of each type. */
  private readonly lasts = new Map<string, { readonly event: BrokerEvent; readonly key: string }>();
  private telling: { readonly timer: Timer; readonly atMs: number } | undefined;
  private closed = false;

  constructor(
    private readonly clock: Clock,
    private readonly tell: (told: ToldEvent) => void,
  ) {}

  offer(event: BrokerEvent, often: boolean): void {
    if (this.closed) return;
    const { clock } = this;
    const happened: Happened = { event, tsMs: clock.wallMs() };
    // One client's Hellos come one after the other: to compare them costs less than to write down each time what they are.
    const last = this.lasts.get(event.type);
    const key = last !== undefined && isAlike(last.event, event) ? last.key : likeness(event);
    if (key !== last?.key) this.lasts.set(event.type, { event, key });
    const offered = { key, group: () => roughLikeness(event), value: happened };
    if ((often ? this.often : this.seldom).offer(offered, clock.monotonicMs()))
      this.tell({ event, tsMs: happened.tsMs, count: 1 });
    else this.arm();
  }

  flush(): void {
    this.telling?.timer.cancel();
    this.telling = undefined;
    this.tellDue(true);
  }

  close(): void {
    if (this.closed) return;
    this.flush();
    this.closed = true;
  }

  private arm(): void {
    const atMs = Math.min(this.often.nextMs() ?? NEVER, this.seldom.nextMs() ?? NEVER);
    if (atMs === NEVER || (this.telling !== undefined && this.telling.atMs <= atMs)) return;
    this.telling?.timer.cancel();
    const timer = this.clock.schedule(
      atMs - this.clock.monotonicMs(),
      () => {
        this.telling = undefined;
        this.tellDue(false);
        this.arm();
      },
      { weak: true },
    );
    this.telling = { timer, atMs };
  }

  private tellDue(all: boolean): void {
    const nowMs = this.clock.monotonicMs();
    const foldings: readonly EventFolding<Happened>[] = [this.seldom, this.often];
    for (const folding of foldings)
      for (const { value, count } of folding.due(nowMs, all)) this.tell({ ...value, count });
  }
}
