/**
 * Puts a broker's events on record without making anybody wait: they are written at the end of the turn in which they
 * happened, and when they cannot be, the broker goes on and says so once.
 */
import type { Clock, Timer } from "../../base/clock.ts";
import { reasonOf } from "../../base/errors.ts";
import { encodeLifecycleEvent, type LifecycleEvent } from "../../model/lifecycle-event.ts";
import type { LifecycleLog } from "../../store/lifecycle-log.ts";
import type { BrokerEvent } from "./broker-event.ts";
import { createEventFold, type EventFold, type ToldEvent } from "./event-fold.ts";
import { recordRow, toLifecycleEvent } from "./record-kinds.ts";

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

export function createLifecycleRecorder(options: LifecycleRecorderOptions): LifecycleRecorder {
  return new Recorder(options);
}

class Recorder implements LifecycleRecorder {
  private readonly fold: EventFold;
  private queue: LifecycleEvent[] = [];
  private turn: Timer | undefined;
  private lost = 0;
  private faulty = false;
  private closed = false;

  constructor(private readonly options: LifecycleRecorderOptions) {
    this.fold = createEventFold({ clock: options.clock, tell: (told) => this.push(told) });
  }

  record(event: BrokerEvent): void {
    const row = this.closed ? undefined : recordRow(event);
    if (row !== undefined) this.fold.offer(event, row.often === true);
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
    this.fold.flush();
    this.flush();
    // The flush may have had something to say about itself.
    this.flush();
    this.closed = true;
    this.fold.close();
    this.turn?.cancel();
    this.options.log.close();
  }

  private push({ event, tsMs, count }: ToldEvent): void {
    const row = recordRow(event);
    if (row === undefined) return;
    const { clock, brokerPid, instance } = this.options;
    this.queue.push(toLifecycleEvent(event, row, { tsMs, count, brokerPid, instance: instance() }));
    this.turn ??= clock.schedule(0, () => this.flush(), { weak: true });
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
