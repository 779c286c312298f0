/**
 * Output of one backend: an append-only file it writes to directly, so that it survives the broker, bounded by the
 * broker, which looks at the file after it has changed and empties it before it is beyond its limit. One older file is kept.
 *
 * A quiet log is watched and costs nothing. A log that changes is looked at by a timer, the more often the faster it fills,
 * because a watch would report every write; after a look that finds nothing new it is watched again.
 */
import type { Clock, Timer } from "../../base/clock.ts";
import { acquire } from "../../base/disposal-stack.ts";
import { reasonOf } from "../../base/errors.ts";
import type { BackendKey } from "../../model/backend-key.ts";
import type { Files, LogFile, Transferable } from "../../platform/ports/index.ts";
import { createLogLimit, type LogLimit } from "../../store/log-limit.ts";
import type { DroppedOutput } from "../events/reports.ts";

/** What a refusal carries of a failed launch's output. */
const TAIL_BYTES = 4096;
/** Between two looks at a log that is being written to. At 400 MB/s the shortest lets 8 MB through. */
const SHORTEST_REST_MS = 20;
const LONGEST_REST_MS = 250;
/** A log fills up in four rests or more, unless the shortest is too long for that. */
const RESTS_PER_FILL = 4;
/** After so long without a change, the next one may be the beginning of anything. */
const QUIET_MS = 1_000;
/** Between two looks at a log that the system does not watch for us. */
const UNWATCHED_REST_MS = 1_000;
/** Between two reports of what was dropped. */
const REPORT_MS = 10_000;

export interface BackendLog {
  readonly path: string;
  /** For the child's stdout and stderr; undefined when there is no place to log to. */
  readonly transferable: Transferable | undefined;
  /** Why `transferable` is undefined. */
  readonly fault: string | undefined;
  /** The last lines written since this launch began; once closed, until then. */
  tail(): string;
  /** Its writers are gone: brings it within its limit a last time, beside the event loop, and closes it. The file stays. */
  close(): void;
  /** Another process looks after it from now on: closes it as it is. */
  letGo(): void;
}

/** What a broker says of the logs of its backends. */
export interface BackendLogReports {
  /** Its output goes nowhere. */
  readonly onLogFault: (key: BackendKey, path: string, fault: string) => void;
  readonly onLogDropped: (key: BackendKey, path: string, dropped: DroppedOutput) => void;
}

export interface BackendLogOptions {
  readonly files: Pick<Files, "ensurePrivateDirectory" | "openLog" | "paths">;
  readonly clock: Clock;
  readonly directory: string;
  readonly service: string;
  readonly version: string;
  /** Of the file and of its older one, each. */
  readonly maxBytes: number;
  /** Told once in ten seconds at most. */
  readonly onDropped: (path: string, dropped: DroppedOutput) => void;
}

/** Never throws: a full disk or a broken log directory is no reason to refuse a backend. */
export function openBackendLog(options: BackendLogOptions): BackendLog {
  const path = options.files.paths.join(options.directory, `${options.service}-${options.version}.log`);
  try {
    options.files.ensurePrivateDirectory(options.directory);
    return acquire((held) => new BoundedLog(options, path, held.use(options.files.openLog(path))));
  } catch (error) {
    return { path, transferable: undefined, fault: reasonOf(error), tail: () => "", close: () => {}, letGo: () => {} };
  }
}

class BoundedLog implements BackendLog {
  readonly fault = undefined;
  private watcher: { close(): void } | undefined;
  private pause: Timer | undefined;
  private closed = false;
  private emptying: Promise<void> | undefined;
  private lastTail = "";
  private restMs = SHORTEST_REST_MS;
  /** Of the last look. */
  private seenBytes = 0;
  private seenMs: number;
  /** The last look that found something new. */
  private changedMs = Number.NEGATIVE_INFINITY;
  private readonly limit: LogLimit;
  private dropped: DroppedOutput = { bytes: 0, fault: undefined };
  private report: Timer | undefined;

  constructor(
    private readonly options: BackendLogOptions,
    readonly path: string,
    private readonly file: LogFile,
  ) {
    this.limit = createLogLimit(options.maxBytes);
    file.mark();
    this.seenMs = options.clock.monotonicMs();
    this.seenBytes = this.size();
    // Too large by an earlier launch, or by a backend whose broker died.
    if (this.limit.isFull(this.seenBytes)) void this.empty();
    else this.watch();
  }

  get transferable(): Transferable {
    return this.file.transferable;
  }

  tail(): string {
    if (this.closed) return this.lastTail;
    try {
      return this.file.words(TAIL_BYTES).trimEnd();
    } catch {
      return "";
    }
  }

  close(): void {
    if (!this.end()) return;
    if (this.emptying === undefined && !this.limit.isFull(this.size())) this.file.close();
    else void this.finish();
  }

  letGo(): void {
    if (this.end()) this.file.close();
  }

  private async finish(): Promise<void> {
    await this.emptying;
    if (this.limit.isFull(this.size())) await this.empty();
    this.file.close();
  }

  /** False: it has ended before. */
  private end(): boolean {
    if (this.closed) return false;
    // A launch that failed is told after everything of it has been tidied up.
    this.lastTail = this.tail();
    this.closed = true;
    this.watcher?.close();
    this.pause?.cancel();
    if (this.report !== undefined) this.tellDropped();
    return true;
  }

  private look(): void {
    if (this.closed) return;
    const bytes = this.size();
    const nowMs = this.options.clock.monotonicMs();
    if (bytes === this.seenBytes) return this.watch();
    // A log that is shorter was emptied, by another broker's backend of this version.
    const grownBytes = bytes > this.seenBytes ? bytes - this.seenBytes : bytes;
    if (bytes < this.seenBytes) this.limit.emptied();
    this.restMs = this.nextRestMs(grownBytes, nowMs);
    this.seenBytes = bytes;
    this.seenMs = nowMs;
    this.changedMs = nowMs;
    if (this.limit.isFull(bytes)) void this.empty();
    else this.rest(this.restMs);
  }

  /** Rests double while the log fills slowly. */
  private nextRestMs(grownBytes: number, nowMs: number): number {
    if (nowMs - this.changedMs > QUIET_MS) return SHORTEST_REST_MS;
    const fillMs = (this.options.maxBytes / grownBytes) * (nowMs - this.seenMs);
    return Math.max(SHORTEST_REST_MS, Math.min(LONGEST_REST_MS, this.restMs * 2, fillMs / RESTS_PER_FILL));
  }

  private empty(): Promise<void> {
    this.emptying = this.rotate().finally(() => {
      this.emptying = undefined;
    });
    return this.emptying;
  }

  private async rotate(): Promise<void> {
    const { droppedBytes, emptied, fault } = await this.file.rotate(this.options.maxBytes);
    if (droppedBytes > 0 || fault !== undefined) this.noteDropped(droppedBytes, fault);
    if (this.closed) return;
    // What came since then is new, also when it fills the log already.
    this.seenBytes = emptied ? 0 : this.size();
    if (emptied) this.limit.emptied();
    else this.limit.stuck(this.seenBytes);
    this.seenMs = this.options.clock.monotonicMs();
    this.rest(this.restMs);
  }

  private rest(ms: number): void {
    this.pause = this.options.clock.schedule(ms, () => this.look(), { weak: true });
  }

  private watch(): void {
    this.watcher = this.file.watch(() => this.changed());
    if (this.watcher === undefined) return this.rest(UNWATCHED_REST_MS);
    // Written to just before it was watched.
    if (this.size() !== this.seenBytes) this.changed();
  }

  private changed(): void {
    if (this.watcher === undefined) return;
    this.watcher.close();
    this.watcher = undefined;
    this.look();
  }

  private noteDropped(bytes: number, fault: unknown): void {
    this.dropped = {
      bytes: this.dropped.bytes + bytes,
      fault: fault === undefined ? this.dropped.fault : reasonOf(fault),
    };
    if (this.closed) return this.tellDropped();
    this.report ??= this.options.clock.schedule(REPORT_MS, () => this.tellDropped(), { weak: true });
  }

  private tellDropped(): void {
    this.report?.cancel();
    this.report = undefined;
    const { dropped } = this;
    this.dropped = { bytes: 0, fault: undefined };
    this.options.onDropped(this.path, dropped);
  }

  private size(): number {
    try {
      return this.file.size();
    } catch {
      return this.seenBytes;
    }
  }
}
