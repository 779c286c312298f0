/**
 * Output of one backend: an append-only file it writes to directly, so that it survives the broker, bounded by the
 * broker, which watches the file and moves it aside when it has grown beyond its limit. One older file is kept.
 */
import { posix } from "node:path";
import type { Clock, Timer } from "../base/clock.ts";
import { reasonOf } from "../base/errors.ts";
import type { Files } from "../platform/ports.ts";

/** What a refusal carries of a failed launch's output. */
const TAIL_BYTES = 4096;
/** Least time between two looks at a log that is being written to. */
const LOOK_INTERVAL_MS = 500;

export interface BackendLog {
  readonly path: string;
  /** For the child's stdout and stderr; undefined when there is no place to log to. */
  readonly fd: number | undefined;
  /** Why `fd` is undefined. */
  readonly fault: string | undefined;
  /** Closes the descriptor once the child has its own. */
  handedOver(): void;
  /** The last lines written since this launch began. */
  tail(): string;
  /** Stops watching and closes what is open; the file stays. */
  close(): void;
}

export interface BackendLogOptions {
  readonly files: Files;
  readonly clock: Clock;
  readonly directory: string;
  readonly service: string;
  readonly version: string;
  readonly maxBytes: number;
}

export function openBackendLog(options: BackendLogOptions): BackendLog {
  const path = posix.join(options.directory, `${options.service}-${options.version}.log`);
  try {
    options.files.ensurePrivateDirectory(options.directory);
    const fd = options.files.openLog(path);
    return new WatchedLog(options, path, fd, undefined);
  } catch (error) {
    // A full disk or a broken log directory is no reason to refuse a backend.
    return new WatchedLog(options, path, undefined, reasonOf(error));
  }
}

class WatchedLog implements BackendLog {
  private readonly startSize: number;
  private watcher: { close(): void } | undefined;
  private pause: Timer | undefined;
  private closed = false;
  /** Output of this launch was moved aside. */
  private rotated = false;
  private handed = false;

  constructor(
    private readonly options: BackendLogOptions,
    readonly path: string,
    readonly fd: number | undefined,
    readonly fault: string | undefined,
  ) {
    this.rotateIfLarge();
    // What was moved aside by now is of earlier launches.
    this.rotated = false;
    this.startSize = this.size();
    if (fd !== undefined) this.arm();
  }

  handedOver(): void {
    if (this.fd === undefined || this.handed) return;
    this.handed = true;
    this.options.files.closeFd(this.fd);
  }

  tail(): string {
    if (this.fd === undefined) return "";
    const size = this.size();
    if (this.rotated)
      return (this.tailOf(`${this.path}.1`, TAIL_BYTES - size) + this.tailOf(this.path, size)).trimEnd();
    return this.tailOf(this.path, size - this.startSize).trimEnd();
  }

  /** One byte more than asked for: what comes before the first whole line is cut, and that byte ends the line before ours. */
  private tailOf(path: string, bytes: number): string {
    return bytes <= 0 ? "" : this.options.files.tail(path, Math.min(bytes, TAIL_BYTES) + 1);
  }

  close(): void {
    this.closed = true;
    this.handedOver();
    this.watcher?.close();
    this.pause?.cancel();
  }

  private arm(): void {
    this.watcher = this.options.files.watch(this.path, () => this.changed());
  }

  /** A busy log must not keep the broker busy: after each look the watch rests for a while. */
  private changed(): void {
    if (this.closed) return;
    this.watcher?.close();
    this.watcher = undefined;
    this.rotateIfLarge();
    this.pause = this.options.clock.schedule(
      LOOK_INTERVAL_MS,
      () => {
        this.rotateIfLarge();
        if (!this.closed) this.arm();
      },
      { weak: true },
    );
  }

  private rotateIfLarge(): void {
    if (this.size() <= this.options.maxBytes) return;
    try {
      this.options.files.rotateLog(this.path);
      this.rotated = true;
    } catch {
      // No room for a second file: the next look tries again, and nothing is lost by waiting.
    }
  }

  private size(): number {
    try {
      return Number(this.options.files.facts(this.path)?.size ?? 0n);
    } catch {
      return 0;
    }
  }
}
