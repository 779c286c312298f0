/**
 * Emptying a log that another process appends to, after copying its end to the older file. The copy is made in slices on
 * Node's thread pool, because each of these calls waits while a fast writer or a slow disk holds the file's lock.
 *
 * Then what was copied is taken away from the file's head, where the file system can do that in one step (collapse-log.ts); else
 * the file is cut, and what came meanwhile is written to it again (cut-log.ts). Of a writer that is faster than the copy the
 * newest bytes stay, and a note of what was dropped. Where the older file cannot be written (no space,
 * something else at its path), it is removed, and the newest lines stay in the file itself.
 */
import { constants, ftruncateSync, read as readCallback, rmSync, write as writeCallback, writeSync } from "node:fs";
import { promisify } from "node:util";
import { droppedNote, MAX_NOTE_BYTES } from "../../../model/dropped-note.ts";
import { fromNodeError } from "../../errno.ts";
import { closeFd } from "../../node/close-fd.ts";
import { isAt } from "../../node/file-at.ts";
import type { LogRotation } from "../../ports/index.ts";
import { type CollapseHead, headToCollapse } from "./collapse-log.ts";
import { cutLog } from "./cut-log.ts";
import { lineStart, readPart, readPartNow, sizeOf } from "./log-part.ts";
import { checkOwnPath, removeFileAt } from "./own-file.ts";
import { createPrivateFile } from "./private-file.ts";

const read = promisify(readCallback);
const write = promisify(writeCallback);

/** One read or write. */
const SLICE_BYTES = 256 * 1024;
/** How often a copy runs after its writer. Each round is shorter than the one before, unless the writer is faster than the copy. */
const MAX_ROUNDS = 4;
/** Newest bytes that stay in a file whose writer is faster. */
const NEWEST_BYTES = 64 * 1024;
/** Of what is copied, so much is remembered for who asks for the last words. */
const LAST_BYTES = 4096;

/** The open log, and what its owner must know of the moment in which it is emptied. */
export interface LogSource {
  /** For reading and appending. */
  readonly fd: number;
  readonly path: string;
  /** Undefined for a system without that call. */
  readonly collapseHead: CollapseHead | undefined;
  /** The log is not wanted any more: leave it as it is. */
  stopped(): boolean;
  /**
   * The file, of `end` bytes, is about to become shorter. `before` are the last few of those that are going to be in front of
   * its content, and end at the offset `beforeEnd`.
   */
  emptying(end: number, before: Buffer, beforeEnd: number): void;
  /** They are gone, and what is to stay of them is in the file again. Undefined: they could not be taken away. */
  emptied(kept: Kept | undefined): void;
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
  let older: number | undefined;
  let fault: unknown;
  try {
    // An older file that says something is worth more than one that says nothing.
    if (sizeOf(source.fd) === 0) return { droppedBytes: 0, emptied: true };
    // A log that was deleted or replaced has no older file; the one at that path is another log's.
    if (isAt(source.path, source.fd)) {
      older = createOlder(`${source.path}.1`);
      copied = await copyTo(older, source, keepBytes);
    }
  } catch (error) {
    fault = fromNodeError(error, `${source.path}.1`);
    // Another process looks after the log now, and the older file is its own.
    if (!source.stopped()) removeFileAt(`${source.path}.1`);
  }
  try {
    const rest = copied.done || source.stopped() ? NOTHING_DROPPED : await empty(source, copied, { older, keepBytes });
    fault ??= rest.fault && fromNodeError(rest.fault, source.path);
    return { droppedBytes: copied.dropped + rest.dropped, emptied: true, ...(fault !== undefined && { fault }) };
  } catch (error) {
    return { droppedBytes: 0, emptied: false, fault: fromNodeError(error, source.path) };
  } finally {
    if (older !== undefined) closeFd(older);
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

async function copyTo(older: number, source: LogSource, keepBytes: number): Promise<Copied> {
  const { fd } = source;
  let end = sizeOf(fd);
  const start = end <= keepBytes ? 0 : await lineStart(fd, Math.min(end, end - keepBytes + MAX_NOTE_BYTES), end);
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
    if (end === copy.position || end > limit || round === MAX_ROUNDS) return copied(false);
  }
}

interface Emptied {
  /** Bytes behind the copy that are gone. */
  readonly dropped: number;
  /** Why the newest of them could not be put back: a writer has filled the file system again, say. */
  readonly fault: unknown;
}

const NOTHING_DROPPED: Emptied = { dropped: 0, fault: undefined };

/** Empties the file but for what came after the copy. @throws as node:fs does; the file has not been emptied then */
async function empty(
  source: LogSource,
  copied: Copied,
  { older, keepBytes }: { older: number | undefined; keepBytes: number },
): Promise<Emptied> {
  const { fd } = source;
  const mostBytes = Math.min(NEWEST_BYTES, Math.floor(keepBytes / 4));
  const end = sizeOf(fd);
  // Another process has emptied it, and its writer may have gone on.
  if (end < copied.end || !isWhereItWas(fd, copied)) return NOTHING_DROPPED;
  const { collapseHead } = source;
  const head = headToCollapse(fd, { copiedEnd: copied.end, end, mostBytes, keepBytes });
  const short = collapseHead && copiedUpTo(head, copied, older);
  if (collapseHead === undefined || short === undefined) return cut(source, copied, { end, mostBytes });
  const collapsed = await collapse(source, short, { head, end, collapseHead });
  if (collapsed !== undefined) return collapsed;
  if (source.stopped()) return NOTHING_DROPPED;
  // Nothing is written to the older file again: what it gave up is still in the log, and is of the newest bytes there.
  return cut(source, short, { end, mostBytes });
}

function isWhereItWas(fd: number, { end, last }: Copied): boolean {
  return last.length === 0 || last.equals(readPartNow(fd, end - last.length, end));
}

/**
 * The head ends with a block. What was copied behind that stays in the file and goes from the older one, first, so that a reader
 * never finds it after the copy. Undefined without a head, and where the older file cannot be shortened: a file system that copies
 * on write may need room for that.
 */
function copiedUpTo(head: number, copied: Copied, older: number | undefined): Copied | undefined {
  const extra = copied.end - head;
  if (head === 0 || extra > copied.last.length) return undefined;
  if (extra <= 0 || older === undefined) return copied;
  try {
    ftruncateSync(older, sizeOf(older) - extra);
  } catch {
    return undefined;
  }
  return { ...copied, end: head, last: copied.last.subarray(0, copied.last.length - extra) };
}

/** Undefined where the file system cannot do it. */
async function collapse(
  source: LogSource,
  { end: beforeEnd, last: before }: Copied,
  { head, end, collapseHead }: { head: number; end: number; collapseHead: CollapseHead },
): Promise<Emptied | undefined> {
  const { fd } = source;
  source.emptying(end, before, beforeEnd);
  if (!(await collapseHead(fd, head))) {
    source.emptied(undefined);
    return undefined;
  }
  source.emptied({ before, beforeEnd, from: head, at: 0 });
  const dropped = head - beforeEnd;
  try {
    if (dropped > 0) writeSync(fd, droppedNote(dropped));
    return { dropped, fault: undefined };
  } catch (fault) {
    return { dropped, fault };
  }
}

/** @throws as node:fs does; the file has not been emptied then */
async function cut(
  source: LogSource,
  copied: Copied,
  { end, mostBytes }: { end: number; mostBytes: number },
): Promise<Emptied> {
  const { fd } = source;
  const from = await newestFrom(fd, copied.end, end, mostBytes);
  const newest = { from, bytes: await readPart(fd, from, end) };
  if (source.stopped()) return NOTHING_DROPPED;
  source.emptying(end, newest.bytes.length > 0 ? newest.bytes : copied.last, end);
  const emptied = (start: number, at: number): void =>
    source.emptied({ before: copied.last, beforeEnd: copied.end, from: start, at });
  let noteBytes = 0;
  let outcome: Awaited<ReturnType<typeof cutLog>>;
  try {
    outcome = await cutLog(fd, newest, mostBytes, (kept, unread) => {
      const dropped = kept.from - copied.end + unread;
      const note = Buffer.from(dropped > 0 ? droppedNote(dropped) : "");
      noteBytes = note.length;
      return Buffer.concat([note, kept.bytes]);
    });
  } catch (error) {
    source.emptied(undefined);
    throw error;
  }
  if (outcome === undefined) {
    emptied(end, 0);
    return NOTHING_DROPPED;
  }
  const { kept, unreadBytes, writtenBytes, fault } = outcome;
  emptied(kept.from, fault === undefined ? noteBytes : writtenBytes);
  const keptBytes = fault === undefined ? kept.bytes.length : Math.max(0, writtenBytes - noteBytes);
  return { dropped: kept.from - copied.end + unreadBytes + kept.bytes.length - keptBytes, fault };
}

/** All of it when it is little enough, else from a line's start on. */
async function newestFrom(fd: number, start: number, end: number, mostBytes: number): Promise<number> {
  return end - start <= mostBytes ? start : await lineStart(fd, end - mostBytes, end);
}

/**
 * A new file in place of the older one: what a predecessor of ours still writes into that one is not among our own.
 * The caller closes it.
 */
function createOlder(path: string): number {
  checkOwnPath(path);
  rmSync(path, { force: true });
  return createPrivateFile(path, constants.O_WRONLY);
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
    copy.last = Buffer.concat([copy.last, bytes.subarray(-LAST_BYTES)]).subarray(-LAST_BYTES);
  }
}

async function writeAll(fd: number, bytes: Buffer): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await write(fd, bytes, done, bytes.length - done, null);
    done += bytesWritten;
  }
}
