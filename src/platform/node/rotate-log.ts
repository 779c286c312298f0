/**
 * Emptying a log that another process appends to, after copying its end to the older file. The copy is made in slices on
 * Node's thread pool, because each of these calls waits while a fast writer or a slow disk holds the file's lock.
 *
 * What stays, in this order: everything when the writer pauses for a moment; else the last `keepBytes`, a note of what was
 * dropped, and the newest lines in the emptied file. Where the older file cannot be written (no space, something else at
 * its path), it is removed, and the newest lines stay in the file itself.
 */
import {
  constants,
  fstatSync,
  ftruncate as ftruncateCallback,
  ftruncateSync,
  read as readCallback,
  write as writeCallback,
  writeSync,
} from "node:fs";
import { promisify } from "node:util";
import { droppedNote, MAX_NOTE_BYTES } from "../../model/dropped-note.ts";
import { fromNodeError } from "../errno.ts";
import type { LogRotation } from "../ports.ts";
import { closeFd } from "./close-fd.ts";
import { checkOwnFile, isAt, removeFileAt } from "./own-file.ts";
import { openPrivateFile } from "./private-file.ts";

const ftruncate = promisify(ftruncateCallback);
const read = promisify(readCallback);
const write = promisify(writeCallback);

/** One read or write. */
const SLICE_BYTES = 256 * 1024;
/** How often a copy runs after its writer. Each round is shorter than the one before, unless the writer is faster than the copy. */
const MAX_ROUNDS = 4;
/** Newest bytes that stay in a file whose writer is faster. */
const NEWEST_BYTES = 64 * 1024;
/** In these a line begins, or the cut goes through one. */
const LINE_BYTES = 4096;
/** To free the pages of a larger file takes longer than a turn of the event loop may: some 0.1 ms a MiB. */
const SYNC_TRUNCATE_BYTES = 16 * 1024 * 1024;

/** The open log, and what its owner must know of the moment in which it is emptied. */
export interface LogSource {
  /** For reading and appending. */
  readonly fd: number;
  readonly path: string;
  /** Nobody wants the log any more: leave it as it is. */
  stopped(): boolean;
  /** The first `end` bytes are about to go, of which `last` are the last ones. */
  emptying(end: number, last: Buffer): void;
  /** They are gone, and what is to stay of them is in the file again. */
  emptied(kept: Kept): void;
}

export interface Kept {
  /** Bytes that are in front of the file's content now, the last few of them. */
  readonly before: Buffer;
  /** Where those ended. */
  readonly beforeEnd: number;
  /** Where the newest bytes began that were written again, and where they begin now. */
  readonly from: number;
  readonly at: number;
}

/** Never rejects. @see LogFile.rotate */
export async function rotateOpenLog(source: LogSource, keepBytes: number): Promise<LogRotation> {
  let copied: Copied = NOTHING_COPIED;
  let fault: unknown;
  try {
    // An older file that says something is worth more than one that says nothing.
    if (sizeOf(source.fd) === 0) return { droppedBytes: 0, emptied: true };
    // A log that was deleted or replaced has no older file; the one at that path is another log's.
    if (isAt(source.path, source.fd)) copied = await copyToOlder(source, keepBytes);
  } catch (error) {
    fault = fromNodeError(error, `${source.path}.1`);
    removeFileAt(`${source.path}.1`);
  }
  try {
    const dropped = copied.done || source.stopped() ? 0 : await empty(source, copied, keepBytes);
    return { droppedBytes: copied.dropped + dropped, emptied: true, ...(fault !== undefined && { fault }) };
  } catch (error) {
    return { droppedBytes: 0, emptied: false, fault: fromNodeError(error, source.path) };
  }
}

interface Copied {
  /** Where the copy ends. */
  readonly end: number;
  /** What was copied last. */
  readonly last: Buffer;
  /** In front of what was copied. */
  readonly dropped: number;
  /** The file has been emptied, by us or by another process, or is to be left alone. */
  readonly done: boolean;
}

const NONE: Buffer = Buffer.alloc(0);
const NOTHING_COPIED: Copied = { end: 0, last: NONE, dropped: 0, done: false };

async function copyToOlder(source: LogSource, keepBytes: number): Promise<Copied> {
  const { fd, path } = source;
  let end = sizeOf(fd);
  const start = end <= keepBytes ? 0 : await lineStart(fd, Math.min(end, end - keepBytes + MAX_NOTE_BYTES), end);
  const older = openOlder(`${path}.1`);
  try {
    const note = start === 0 ? "" : droppedNote(start);
    await writeAll(older, Buffer.from(note));
    const copy: Copy = { fd, to: older, position: start, last: NONE };
    const copied = (done: boolean): Copied => ({ end: copy.position, last: copy.last, dropped: start, done });
    const limit = start + keepBytes - note.length;
    for (let round = 1; ; round++) {
      await copyUpTo(copy, end, source);
      if (copy.position < end || source.stopped()) return copied(true);
      end = sizeOf(fd);
      if (end < copy.position) return copied(true);
      // Right after the look that found nothing more, so that a writer can hardly get in between.
      if (end === copy.position && end <= SYNC_TRUNCATE_BYTES) {
        source.emptying(end, copy.last);
        ftruncateSync(fd, 0);
        source.emptied({ before: copy.last, beforeEnd: end, from: end, at: 0 });
        return copied(true);
      }
      if (end > limit || round === MAX_ROUNDS) return copied(false);
    }
  } finally {
    closeFd(older);
  }
}

/** Empties a file whose writer is faster than we are, or that has more pages than can be freed at once. Returns what was dropped. */
async function empty(source: LogSource, copied: Copied, keepBytes: number): Promise<number> {
  const { fd } = source;
  const most = Math.min(NEWEST_BYTES, Math.floor(keepBytes / 4));
  let end = sizeOf(fd);
  let from = end;
  let newest = NONE;
  for (let round = 1; round <= MAX_ROUNDS; round++) {
    from = await lineStart(fd, Math.max(copied.end, end - most), end);
    newest = await readAt(fd, from, end);
    const now = sizeOf(fd);
    // Another process has emptied it.
    if (now < end) return 0;
    if (now === end) break;
    end = now;
  }
  let dropped = from - copied.end;
  const rest = (): Buffer => Buffer.concat([Buffer.from(dropped > 0 ? droppedNote(dropped) : ""), newest]);
  source.emptying(end, newest.length > 0 ? newest : copied.last);
  try {
    if (end <= SYNC_TRUNCATE_BYTES && sizeOf(fd) === end) {
      ftruncateSync(fd, 0);
      // At once, so that hardly anything gets in front of it.
      writeNow(fd, rest());
    } else {
      // What such a writer adds meanwhile goes, and what it adds after the cut may stand in front of the newest bytes.
      dropped += Math.max(0, sizeOf(fd) - end);
      await ftruncate(fd, 0);
      await writeAll(fd, rest());
    }
  } finally {
    source.emptied({ before: copied.last, beforeEnd: copied.end, from, at: rest().length - newest.length });
  }
  return dropped;
}

function writeNow(fd: number, bytes: Buffer): void {
  for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done);
}

/** Opened without waiting, whatever it is. The caller closes it. */
function openOlder(path: string): number {
  const fd = openPrivateFile(path, constants.O_WRONLY | constants.O_NONBLOCK);
  try {
    checkOwnFile(fd, path);
    ftruncateSync(fd, 0);
    return fd;
  } catch (error) {
    closeFd(fd);
    throw error;
  }
}

/** Where the first line at or behind `from` begins; `from` itself when none does nearby. */
async function lineStart(fd: number, from: number, end: number): Promise<number> {
  if (from === 0) return 0;
  const near = await readAt(fd, from - 1, Math.min(end, from + LINE_BYTES));
  const lineEnd = near.indexOf("\n");
  return lineEnd < 0 ? from : from + lineEnd;
}

async function readAt(fd: number, from: number, end: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(Math.max(0, end - from));
  if (bytes.length === 0) return bytes;
  const { bytesRead } = await read(fd, bytes, 0, bytes.length, from);
  return bytes.subarray(0, bytesRead);
}

interface Copy {
  readonly fd: number;
  readonly to: number;
  position: number;
  /** What was copied last. */
  last: Buffer;
}

/** Stops at the end of a file that has become shorter, and when the log is not wanted any more. */
async function copyUpTo(copy: Copy, end: number, source: LogSource): Promise<void> {
  const slice = Buffer.allocUnsafe(Math.min(SLICE_BYTES, Math.max(1, end - copy.position)));
  while (copy.position < end && !source.stopped()) {
    const wanted = Math.min(slice.length, end - copy.position);
    const { bytesRead } = await read(copy.fd, slice, 0, wanted, copy.position);
    if (bytesRead === 0) return;
    const bytes = slice.subarray(0, bytesRead);
    await writeAll(copy.to, bytes);
    copy.position += bytesRead;
    copy.last = Buffer.concat([copy.last, bytes.subarray(-LINE_BYTES)]).subarray(-LINE_BYTES);
  }
}

async function writeAll(fd: number, bytes: Buffer): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await write(fd, bytes, done, bytes.length - done, null);
    done += bytesWritten;
  }
}

function sizeOf(fd: number): number {
  return fstatSync(fd).size;
}
