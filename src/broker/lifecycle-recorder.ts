/**
 * Puts a broker's events on record without making anybody wait: they are written at the end of the turn in which they
 * happened, and when they cannot be, the broker goes on and says so once.
 */
import type { Clock, Timer } from "../base/clock.ts";
import { reasonOf } from "../base/errors.ts";
import { createEventFolding, type EventFolding, type FoldingRule } from "../model/event-folding.ts";
import { encodeLifecycleEvent, type LifecycleEvent } from "../model/lifecycle-event.ts";
import type { LifecycleLog } from "../store/lifecycle-log.ts";
import { isAlike, likeness, type RecordRow, recordRow, roughLikeness, toLifecycleEvent } from "./lifecycle-record.ts";
import type { BrokerEvent } from "./options.ts";

export interface LifecycleRecorder {
  /** Never throws, never waits. */
  record(event: BrokerEvent): void;
  /** Writes what there is now, without what is held to be told as one. */
  flush(): void;
  /** Writes all there is; what comes later is not recorded. */
  close(): void;
}

export interface LifecycleRecorderOptions {
  readonly clock: Clock;
  readonly log: LifecycleLog;
  readonly brokerPid: number;
  /** The broker's instance, for events that name none. */
  readonly instance: () => string;
  /** The first record that cannot be written, after one that could. Must not throw. */
  readonly onFault: (path: string, fault: string) => void;
  /** The first that can be written again, and how many are missing. Must not throw. */
  readonly onResumed: (path: string, lost: number) => void;
}

/** Hellos: a client's session is all there, a storm is a line in ten seconds. */
const OFTEN: FoldingRule = { burst: 16, refillMs: 10_000 };
/** Launches and ends; only a crash loop comes near it. */
const SELDOM: FoldingRule = { burst: 64, refillMs: 1_000 };

const NEVER = Number.POSITIVE_INFINITY;

interface Happened {
  readonly event: BrokerEvent;
  readonly row: RecordRow;
  readonly tsMs: number;
}

export function createLifecycleRecorder(options: LifecycleRecorderOptions): LifecycleRecorder {
  return new Recorder(options);
}

class Recorder implements LifecycleRecorder {
  private readonly often = createEventFolding<Happened>(OFTEN);
  private readonly seldom = createEventFolding<Happened>(SELDOM);
  private queue: LifecycleEvent[] = [];
  /** The last of each type. */
  private readonly lasts = new Map<string, { readonly event: BrokerEvent; readonly key: string }>();
  private turn: Timer | undefined;
  private telling: { readonly timer: Timer; readonly atMs: number } | undefined;
  private lost = 0;
  private faulty = false;
  private closed = false;

  constructor(private readonly options: LifecycleRecorderOptions) {}

  record(event: BrokerEvent): void {
    const row = this.closed ? undefined : recordRow(event);
    if (row === undefined) return;
    const { clock } = this.options;
    const happened: Happened = { event, row, tsMs: clock.wallMs() };
    const folding = row.often ? this.often : this.seldom;
    // One client's Hellos come one after the other: to compare them costs less than to write down each time what they are.
    const last = this.lasts.get(event.type);
    const key = last !== undefined && isAlike(last.event, event) ? last.key : likeness(event);
    if (key !== last?.key) this.lasts.set(event.type, { event, key });
    const offered = { key, group: () => roughLikeness(event), value: happened };
    if (folding.offer(offered, clock.monotonicMs())) this.push(happened, 1);
    else this.armTelling();
  }

  flush(): void {
    this.turn?.cancel();
    this.turn = undefined;
    const records = this.queue;
    this.queue = [];
    for (const record of records) this.write(record);
  }

  close(): void {
    if (this.closed) return;
    this.telling?.timer.cancel();
    this.tell(true);
    this.flush();
    // The flush may have had something to say about itself.
    this.flush();
    this.closed = true;
    this.turn?.cancel();
    this.options.log.close();
  }

  private push({ event, row, tsMs }: Happened, count: number): void {
    const { clock, brokerPid, instance } = this.options;
    this.queue.push(toLifecycleEvent(event, row, { tsMs, count, brokerPid, instance: instance() }));
    this.turn ??= clock.schedule(0, () => this.flush(), { weak: true });
  }

  private armTelling(): void {
    const atMs = Math.min(this.often.nextMs() ?? NEVER, this.seldom.nextMs() ?? NEVER);
    if (atMs === NEVER || (this.telling !== undefined && this.telling.atMs <= atMs)) return;
    this.telling?.timer.cancel();
    const { clock } = this.options;
    const timer = clock.schedule(
      atMs - clock.monotonicMs(),
      () => {
        this.telling = undefined;
        this.tell(false);
        this.armTelling();
      },
      { weak: true },
    );
    this.telling = { timer, atMs };
  }

  private tell(all: boolean): void {
    const nowMs = this.options.clock.monotonicMs();
    const foldings: readonly EventFolding<Happened>[] = [this.seldom, this.often];
    for (const folding of foldings) for (const { value, count } of folding.due(nowMs, all)) this.push(value, count);
  }

  private write(record: LifecycleEvent): void {
    const { log, onFault, onResumed } = this.options;
    try {
      log.append(encodeLifecycleEvent(record));
    } catch (error) {
      this.lost += Number(record.extra.count ?? 1);
      if (this.faulty) return;
      this.faulty = true;
      onFault(log.path, reasonOf(error));
      return;
    }
    if (!this.faulty) return;
    this.faulty = false;
    const { lost } = this;
    this.lost = 0;
    onResumed(log.path, lost);
  }
}
