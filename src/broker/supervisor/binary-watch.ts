/**
 * Notices that the file a running backend was started from is another one by now. The kernel tells at once about the file
 * and about the place where the definition looks for it; what it does not tell (a link in the middle of the path) is found
 * by a look every few seconds, as long as clients come: a backend that nobody asks for wakes nobody. A file that is gone is no
 * reason to end what runs, and neither is one with the same content.
 */
import type { Timer } from "../../base/clock.ts";
import { sameStamp } from "../../model/file-identity.ts";
import type { FileFacts, Platform } from "../../platform/ports/index.ts";

export interface WatchedBinary {
  /** Where the definition says it is; may lead through links. */
  readonly path: string;
  /** Of what was started. */
  readonly sha256: Uint8Array;
}

/** A file that is being written changes more than once; it is judged when it has been left alone for this long. */
const SETTLE_MS = 100;
/** In a place where something changes all the time it is judged all the same. */
const MOST_SETTLE_MS = 2_000;
const LOOK_MS = 5_000;

export interface BinaryWatcher {
  /** The backend is about to be given to a client. Looks when the last look was some time ago; costs nothing otherwise. */
  used(): void;
  close(): void;
}

/** Calls `onReplaced` once. Does not keep the process alive. */
export function watchBinary(
  platform: Pick<Platform, "clock" | "files">,
  binary: WatchedBinary,
  onReplaced: () => void,
): BinaryWatcher {
  return new BinaryWatch(platform, binary, onReplaced);
}

class BinaryWatch implements BinaryWatcher {
  private watchers: { close(): void }[] = [];
  private timer: Timer | undefined;
  private closed = false;
  private looking = false;
  private lookedMs = Number.NEGATIVE_INFINITY;
  /** Something changed while it was looked at. */
  private outdated = false;
  /** The first change since the last look. */
  private changedMs: number | undefined;
  /** The file that was last found to have the content that runs. */
  private known: { readonly path: string; readonly facts: FileFacts } | undefined;
  /** One with another content, which may still be being written: it counts when it has not changed until the next look. */
  private suspect: { readonly path: string; readonly facts: FileFacts } | undefined;

  constructor(
    private readonly platform: Pick<Platform, "clock" | "files">,
    private readonly binary: WatchedBinary,
    private readonly onReplaced: () => void,
  ) {
    this.watch();
    // It may have been replaced before the watch began.
    void this.look();
  }

  used(): void {
    if (!this.closed && this.platform.clock.monotonicMs() - this.lookedMs >= LOOK_MS) void this.look();
  }

  close(): void {
    this.closed = true;
    this.timer?.cancel();
    this.unwatch();
  }

  private watch(): void {
    const { files } = this.platform;
    const target = this.find()?.path;
    const paths = new Set([files.paths.dirname(this.binary.path), ...(target === undefined ? [] : [target])]);
    this.watchers = [...paths].flatMap((path) => files.watch(path, () => this.changed()) ?? []);
  }

  private unwatch(): void {
    for (const watcher of this.watchers.splice(0)) watcher.close();
  }

  private changed(): void {
    if (this.closed) return;
    this.outdated = true;
    const nowMs = this.platform.clock.monotonicMs();
    this.changedMs ??= nowMs;
    if (nowMs - this.changedMs < MOST_SETTLE_MS) this.lookAfter(SETTLE_MS);
  }

  private lookAfter(ms: number): void {
    this.timer?.cancel();
    this.timer = this.platform.clock.schedule(ms, () => void this.look(), { weak: true });
  }

  private async look(): Promise<void> {
    if (this.looking) return;
    this.looking = true;
    this.lookedMs = this.platform.clock.monotonicMs();
    this.outdated = false;
    this.changedMs = undefined;
    const replaced = await this.isReplaced();
    this.looking = false;
    if (this.closed) return;
    if (replaced) {
      this.close();
      return this.onReplaced();
    }
    if (this.outdated || this.suspect !== undefined) this.lookAfter(SETTLE_MS);
  }

  private async isReplaced(): Promise<boolean> {
    const now = this.find();
    const { suspect } = this;
    this.suspect = undefined;
    if (now === undefined || isSame(this.known, now)) return false;
    try {
      const sha256 = await this.platform.files.sha256Executable(now.path);
      // Closed meanwhile: a watch that began now would have nobody to end it.
      if (this.closed) return false;
      if (Buffer.compare(sha256, this.binary.sha256) !== 0) {
        this.suspect = now;
        return isSame(suspect, now);
      }
    } catch {
      // Gone again, or not readable: nothing that could be launched instead.
      return false;
    }
    this.known = now;
    // Another file, perhaps: the old watch may be on one that nobody has a name for any more. What it had seen and not told
    // yet is lost with it.
    this.unwatch();
    this.watch();
    const after = this.find();
    if (after !== undefined && !isSame(now, after)) this.outdated = true;
    return false;
  }

  private find(): { readonly path: string; readonly facts: FileFacts } | undefined {
    const { files } = this.platform;
    try {
      const path = files.realpath(this.binary.path);
      const facts = files.facts(path);
      return facts?.kind === "file" ? { path, facts } : undefined;
    } catch {
      return undefined;
    }
  }
}

function isSame(
  a: { readonly path: string; readonly facts: FileFacts } | undefined,
  b: { readonly path: string; readonly facts: FileFacts },
): boolean {
  return a?.path === b.path && sameStamp(a.facts, b.facts);
}
