/**
 * What a look at a file has shown, holds as long as nothing happens in its directory, and of that the kernel keeps a list
 * (inotify(7)) which is complete at any moment, while looking at the file again would cost several times as much.
 *
 * A watch reports one change and is gone (IN_ONESHOT), so that a directory in which much happens fills no queue. It is set up
 * again, with what comes after it being unknown, when somebody asks the next time; and every so often in any case, for
 * what inotify does not tell: a directory further up that was moved, another machine's changes on a network's file system.
 */
import { systemClock } from "../node/clock.ts";
import type { ChangeCounter } from "../ports/index.ts";
import { close, read } from "../posix/libc.ts";
import { inotifyAddWatch, inotifyInit1, inotifyRmWatch } from "./kernel/libc.ts";
import { guard, look, unguard } from "./kernel/sentinel.ts";

/** As late as this a change may be noticed of which inotify does not tell. */
const LOOK_AGAIN_MS = 100;

const IN_NONBLOCK = 0o4000;
const IN_CLOEXEC = 0o2000000;
const IN_MODIFY = 0x2;
const IN_ATTRIB = 0x4;
const IN_MOVED_FROM = 0x40;
const IN_MOVED_TO = 0x80;
const IN_CREATE = 0x100;
const IN_DELETE = 0x200;
const IN_DELETE_SELF = 0x400;
const IN_MOVE_SELF = 0x800;
const IN_ONLYDIR = 0x01000000;
const IN_DONT_FOLLOW = 0x02000000;
/** Linux 4.18: fails for one that is watched already, under another path perhaps, instead of changing that watch. */
const IN_MASK_CREATE = 0x10000000;
const IN_ONESHOT = 0x80000000;
const CHANGES =
  (IN_MODIFY |
    IN_ATTRIB |
    IN_MOVED_FROM |
    IN_MOVED_TO |
    IN_CREATE |
    IN_DELETE |
    IN_DELETE_SELF |
    IN_MOVE_SELF |
    IN_ONLYDIR |
    IN_DONT_FOLLOW |
    IN_MASK_CREATE |
    IN_ONESHOT) >>>
  0;

/** struct inotify_event: watch, mask, cookie, length of the name behind it. */
const HEAD_BYTES = 16;
const LENGTH = 12;
/** Stands for any watch (IN_Q_OVERFLOW). */
const OVERFLOWN = -1;

/** inotify's instances are few for each user (fs.inotify.max_user_instances), so one serves all. */
let queue = -1;
const directories = new Map<string, Directory>();
const watches = new Map<number, Directory>();
const records = Buffer.alloc(4096);

/** @see Files.changeCounter */
export function changeCounter(directory: string): ChangeCounter {
  const counted = directories.get(directory) ?? new Directory(directory);
  directories.set(directory, counted);
  counted.users++;
  let open = true;
  return {
    value: () => (open ? counted.value() : Number.NaN),
    close() {
      if (!open) return;
      open = false;
      counted.users--;
      if (counted.users > 0) return;
      directories.delete(directory);
      counted.disarm();
      if (directories.size === 0) closeQueue();
    },
  };
}

class Directory {
  users = 0;
  private count = 0;
  private watch = -1;
  private armedMs = 0;

  constructor(private readonly path: string) {}

  value(): number {
    look();
    if (this.watch >= 0 && systemClock.monotonicMs() - this.armedMs < LOOK_AGAIN_MS) return this.count;
    this.disarm();
    this.arm();
    return this.changed();
  }

  /** The kernel has taken the watch away. */
  fired(): void {
    this.watch = -1;
    this.changed();
  }

  disarm(): void {
    if (this.watch < 0) return;
    watches.delete(this.watch);
    inotifyRmWatch(queue, this.watch);
    this.watch = -1;
  }

  changed(): number {
    this.count++;
    return this.count;
  }

  /** Where that fails, every value is another one, and everybody looks for themselves. */
  private arm(): void {
    if (queue < 0 && !openQueue()) return;
    const watch: number = inotifyAddWatch(queue, this.path, CHANGES);
    if (watch < 0) return;
    watches.set(watch, this);
    this.watch = watch;
    this.armedMs = systemClock.monotonicMs();
  }
}

function openQueue(): boolean {
  queue = inotifyInit1(IN_NONBLOCK | IN_CLOEXEC);
  if (queue >= 0 && !guard(queue, takeRecords)) closeQueue();
  return queue >= 0;
}

function closeQueue(): void {
  if (queue < 0) return;
  unguard(queue);
  close(queue);
  queue = -1;
}

function takeRecords(): void {
  for (;;) {
    const got = Number(read(queue, records, records.length));
    if (got <= 0) return;
    for (let at = 0; at < got; at += HEAD_BYTES + records.readUInt32LE(at + LENGTH)) take(records.readInt32LE(at));
  }
}

function take(watch: number): void {
  // A watch leaves two records at most, so the queue is never full; but the kernel may be short of memory for one.
  if (watch === OVERFLOWN) {
    for (const directory of watches.values()) directory.changed();
    return;
  }
  // One that is not known is the news that a watch is gone.
  const directory = watches.get(watch);
  watches.delete(watch);
  directory?.fired();
}
