/**
 * Emptying a log under its writer. No call empties a file only if it has not grown, so what is written between the last look
 * at its size and the cut is lost unseen. To keep that to two adjacent system calls, and to make it improbable that a writer
 * gets in between: the cut follows its writer, reading what comes, and is made right after a look that finds nothing new at a
 * moment when nothing has come for a while. A writer that does not pause is cut all the same, and what could not be read is
 * counted.
 *
 * A writer that inherited our descriptor shares its offset, and an append moves it (write(2)). So an offset behind the last
 * size that was seen tells of what came in between, too, unless the writer has already gone on in the emptied file.
 */
import {
  ftruncate as ftruncateCallback,
  ftruncateSync,
  readFileSync,
  readSync,
  write as writeCallback,
  writeSync,
} from "node:fs";
import { promisify } from "node:util";
import { firstLine, readPartNow, sizeOf } from "./log-part.ts";

const ftruncate = promisify(ftruncateCallback);
const write = promisify(writeCallback);

/** Several times the distance of the lines of one burst, and a fraction of that of a writer's lines at ordinary rates. */
const PAUSE_MS = 0.02;
/**
 * So many looks a cut waits for a pause, about a millisecond, and so often the writer is ahead before a cut follows it no
 * longer. Counts, because time passes too when we are the one that has to wait for a processor.
 */
const PATIENT_LOOKS = 500;
const MAX_READS = 64;
/** What a writer at ordinary rates adds between two looks; to read more would keep the next look away. */
const LITTLE_BYTES = 4096;
/** Between two looks so close to each other no writer makes a file again what it was before it was cut. */
const CLOSE_MS = 0.05;
/** One turn of the event loop, of those in which a cut looks on. */
const TURN_MS = 1;
/** To free the pages of a larger file takes longer than a turn of the event loop may: some 0.1 ms a MiB. */
const SYNC_TRUNCATE_BYTES = 16 * 1024 * 1024;

const HEAD_BYTES = 128;
const ONE_BYTE = Buffer.alloc(1);

/** The end of the file, from the offset `from` on. */
export interface Newest {
  readonly from: number;
  readonly bytes: Buffer;
}

export interface Cut {
  /** What was in the file last, as far as it has been read and is to stay. */
  readonly kept: Newest;
  /** Behind that: seen, and gone. */
  readonly unreadBytes: number;
  /** What `rest` gave. */
  readonly writtenBytes: number;
  /** Why `rest` was not written whole: the file system is full again, say. What is not in the file is gone. */
  readonly fault: unknown;
}

/**
 * Empties the file, of which `newest` is the end that has been read, and appends what `rest` makes of the end at the cut: at
 * most `mostBytes`, which begin with a line when some had to be left out. Undefined: another process has emptied it.
 *
 * @throws as node:fs does; the file has not been emptied then
 */
export async function cutLog(
  fd: number,
  newest: Newest,
  mostBytes: number,
  rest: (kept: Newest, unreadBytes: number) => Buffer,
): Promise<Cut | undefined> {
  const end = new FollowedEnd(fd, newest, mostBytes);
  const small = sizeOf(fd) <= SYNC_TRUNCATE_BYTES;
  let outcome: Outcome = small ? truncateAtPause(end) : "never paused";
  if (outcome === "never paused") outcome = await truncateAside(end);
  if (outcome === "emptied by another") return undefined;
  const bytes = rest(end.newest, end.unreadBytes);
  // At once, so that hardly anything gets in front of it; of much, the remainder beside the event loop.
  let done = 0;
  let fault: unknown;
  try {
    if (bytes.length > 0) done = writeSync(fd, bytes);
    while (done < bytes.length) done += (await write(fd, bytes, done, bytes.length - done, null)).bytesWritten;
  } catch (error) {
    fault = error;
  }
  return { kept: end.newest, unreadBytes: end.unreadBytes, writtenBytes: done, fault };
}

type Outcome = "truncated" | "emptied by another" | "never paused";

function truncateAtPause(end: FollowedEnd): Outcome {
  let grewMs = performance.now();
  for (let looks = 0, reads = 0; reads < MAX_READS && end.grownBytes <= end.mostBytes; looks++) {
    const paused = performance.now() - grewMs >= PAUSE_MS || looks >= PATIENT_LOOKS;
    const grown = end.look();
    if (grown < 0) return "emptied by another";
    // Nothing may come between the second look, which is a lighter call than the first, and the cut.
    if (paused && grown === 0 && end.isEnd()) {
      ftruncateSync(end.fd, 0);
      end.lookBack();
      return "truncated";
    }
    if (grown > 0) {
      end.read();
      reads++;
      grewMs = performance.now();
    }
  }
  return "never paused";
}

/** Looks on while a thread of the pool waits for the file's lock and frees its pages: the size is 0 before they are free. */
async function truncateAside(end: FollowedEnd): Promise<Outcome> {
  if (end.look() < 0) return "emptied by another";
  const head = end.head();
  let over = false;
  const truncated = ftruncate(end.fd, 0).finally(() => {
    over = true;
  });
  // Its failure is the caller's, when the looking is done.
  truncated.catch(() => {});
  let lookMs = performance.now();
  for (let turnMs = lookMs; !over; ) {
    const seen = end.size;
    const grown = end.look();
    if (grown < 0) break;
    if (grown > 0 && grown <= LITTLE_BYTES && seen > SYNC_TRUNCATE_BYTES) end.read();
    const nowMs = performance.now();
    // Since the look before, the file may have been cut and have grown beyond its size again.
    if (nowMs - lookMs >= CLOSE_MS && !end.hasHead(head)) {
      end.size = seen;
      break;
    }
    lookMs = nowMs;
    if (nowMs - turnMs < TURN_MS) continue;
    await new Promise(setImmediate);
    turnMs = performance.now();
  }
  await truncated;
  return "truncated";
}

/** The last bytes of a file that grows. */
class FollowedEnd {
  /** At the last look. */
  size: number;
  /** Since the first look. */
  grownBytes = 0;
  private readonly offset: number | undefined;

  constructor(
    readonly fd: number,
    public newest: Newest,
    readonly mostBytes: number,
  ) {
    this.size = newest.from + newest.bytes.length;
    this.offset = offsetOf(fd);
  }

  /** Seen, and not read. */
  get unreadBytes(): number {
    return this.size - this.newest.from - this.newest.bytes.length;
  }

  /** By how much it has grown since the last look; negative when it was emptied. */
  look(): number {
    const size = sizeOf(this.fd);
    const grown = size - this.size;
    if (grown > 0) {
      this.size = size;
      this.grownBytes += grown;
    }
    return grown;
  }

  /** What it begins with, by which a file is known that has been cut since. */
  head(): Buffer {
    return readPartNow(this.fd, 0, Math.min(this.size, HEAD_BYTES));
  }

  hasHead(head: Buffer): boolean {
    return this.head().equals(head);
  }

  /** Has it not grown since the last look? */
  isEnd(): boolean {
    return readSync(this.fd, ONE_BYTE, 0, 1, this.size) === 0;
  }

  /** Right after the cut: what has come since the last look, as far as it can be known. */
  lookBack(): void {
    const offset = offsetOf(this.fd);
    // One that has not moved may be of before another process emptied the file.
    if (offset !== undefined && offset !== this.offset && offset > this.size) this.size = offset;
  }

  /** What the looks have seen. Older bytes give way. */
  read(): void {
    const { from, bytes } = this.newest;
    const end = from + bytes.length;
    const start = Math.max(end, this.size - this.mostBytes - 1);
    const more = readPartNow(this.fd, start, this.size);
    // It has just been emptied.
    if (more.length < this.size - start) return;
    const joined = start === end ? { from, bytes: Buffer.concat([bytes, more]) } : { from: start, bytes: more };
    this.newest = joined.bytes.length <= this.mostBytes ? joined : lastOf(joined, this.mostBytes);
  }
}

/** proc_pid_fdinfo(5): lseek(2) without moving it. Undefined without /proc. */
function offsetOf(fd: number): number | undefined {
  try {
    const offset = /^pos:\t(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "latin1"))?.[1];
    return offset === undefined ? undefined : Number(offset);
  } catch {
    return undefined;
  }
}

function lastOf({ from, bytes }: Newest, mostBytes: number): Newest {
  const left = bytes.length - mostBytes;
  const start = left + firstLine(bytes.subarray(left - 1));
  return { from: from + start, bytes: bytes.subarray(start) };
}
