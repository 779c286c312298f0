/**
 * Emptying a log under its writer where its head cannot be taken away alone (collapse-log.ts). No call empties a file only if it
 * has not grown: what is written between the last look at its size and the cut is lost and not counted. To keep that to two
 * adjacent system calls, what comes meanwhile is read until a look finds nothing new, and the cut is made in the same turn.
 */
import { ftruncate as ftruncateCallback, ftruncateSync, write as writeCallback, writeSync } from "node:fs";
import { promisify } from "node:util";
import { firstLine, readPartNow, sizeOf } from "./log-part.ts";

const ftruncate = promisify(ftruncateCallback);
const write = promisify(writeCallback);

/** A writer that is ahead after so many reads does not pause. */
const MAX_READS = 16;
/** To free the pages of a larger file takes longer than a turn of the event loop may: some 0.1 ms a MiB. */
const SYNC_TRUNCATE_BYTES = 64 * 1024 * 1024;

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
  /** How much of what `rest` gave is in the file. */
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
  let kept = newest;
  let size = newest.from + newest.bytes.length;
  for (let reads = 0; ; reads++) {
    const now = sizeOf(fd);
    if (now < size) return undefined;
    const paused = now === size;
    size = now;
    if (paused || reads === MAX_READS) break;
    kept = readOn(fd, kept, size, mostBytes);
  }
  if (size <= SYNC_TRUNCATE_BYTES) ftruncateSync(fd, 0);
  else await ftruncate(fd, 0);
  const unreadBytes = size - kept.from - kept.bytes.length;
  const bytes = rest(kept, unreadBytes);
  let done = 0;
  let fault: unknown;
  try {
    // At once, so that hardly anything gets in front of it; of much, the remainder beside the event loop.
    if (bytes.length > 0) done = writeSync(fd, bytes);
    while (done < bytes.length) done += (await write(fd, bytes, done, bytes.length - done, null)).bytesWritten;
  } catch (error) {
    fault = error;
  }
  return { kept, unreadBytes, writtenBytes: done, fault };
}

/** The file up to `end`; older bytes give way. */
function readOn(fd: number, { from, bytes }: Newest, end: number, mostBytes: number): Newest {
  const known = from + bytes.length;
  const start = Math.max(known, end - mostBytes - 1);
  const more = readPartNow(fd, start, end);
  const joined = start === known ? { from, bytes: Buffer.concat([bytes, more]) } : { from: start, bytes: more };
  return joined.bytes.length <= mostBytes ? joined : lastOf(joined, mostBytes);
}

function lastOf({ from, bytes }: Newest, mostBytes: number): Newest {
  const left = bytes.length - mostBytes;
  const start = left + firstLine(bytes.subarray(left - 1));
  return { from: from + start, bytes: bytes.subarray(start) };
}
