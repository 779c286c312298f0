/**
 * Reading a log while it is written and rotated. What is read comes in the order it was written, once, whatever becomes
 * of the file; only a writer that fills the file and its older one between two looks outruns its reader.
 */
import { MAX_NOTE_BYTES, readDroppedNote } from "../model/dropped-note.ts";
import { sameFile, sameStamp } from "../model/file-identity.ts";
import type { FileFacts, Files, OpenFile } from "../platform/ports/index.ts";

export interface LogFollower {
  /** What came since the last call; at the first call, what there is. Empty when nothing. @throws BrokerError FILE_INSECURE, IO_FAILED */
  read(): Buffer;
  close(): void;
}

const CHUNK_BYTES = 256 * 1024;

interface Held {
  readonly file: OpenFile;
  readonly facts: FileFacts;
  position: number;
}

/**
 * Of a file that is rotated by renaming it to `PATH.1` (store/lifecycle-log.ts). Of each file at most the last `mostBytes`
 * are read at a time: one that has become larger was written by another program.
 */
export function followRenamed(files: Files, path: string, mostBytes: number): LogFollower {
  const restOf = (file: Held): Buffer => {
    file.position = Math.max(file.position, Number(file.file.facts().size) - mostBytes);
    return rest(file);
  };
  /** Oldest first; writers may add to the older one for a moment after it was renamed. */
  let held: Held[] = [];
  return {
    read() {
      const read = held.map(restOf);
      for (const found of openBoth(files, path)) {
        if (held.some(({ facts }) => sameFile(facts, found.facts))) found.file.close();
        else {
          held.push(found);
          read.push(restOf(found));
        }
      }
      for (const { file } of held.slice(0, -2)) file.close();
      held = held.slice(-2);
      return Buffer.concat(read);
    },
    close() {
      for (const { file } of held) file.close();
      held = [];
    },
  };
}

/** The older file and the current one as they are at one moment. */
function openBoth(files: Files, path: string): Held[] {
  const current = hold(files, path);
  const older = hold(files, `${path}.1`);
  if (current === undefined || older === undefined || !sameFile(current.facts, older.facts))
    return [older, current].filter((file) => file !== undefined);
  // Renamed in between. The new one, which has nothing that was there before the rename, is found at the next look.
  current.file.close();
  return [older];
}

/** So much before the last byte read must still be there, or the file was written anew. */
const MARK_BYTES = 1024;

/**
 * Of a file whose content, or the end of it, is copied to `PATH.1` before it is emptied in place (LogFile.rotate). What was
 * dropped meanwhile is told by the notes in the files.
 */
export function followCopied(files: Files, path: string): LogFollower {
  let held: Held | undefined;
  let mark: Buffer = Buffer.alloc(0);
  let olderThen: FileFacts | undefined;

  /** The content that was read up to here is where it was. */
  const continues = (file: Held, position: number): boolean =>
    mark.equals(file.file.read(position - mark.length, mark.length));
  const lookAtOlder = (): FileFacts | undefined => files.facts(`${path}.1`);
  /** Emptied since the last look, although what is there now does not show it. */
  const wasEmptied = (file: Held): boolean => {
    const older = lookAtOlder();
    if (older === undefined || (olderThen !== undefined && sameStamp(older, olderThen))) return false;
    // While it is being copied, the older file begins like the current one.
    return !beginsAlike(files, `${path}.1`, file);
  };
  /** What is in the older file behind the place up to which was read, and where that place is in the current one. */
  const missed = (file: Held, position: number): { bytes: Buffer; at: number } => {
    const older = hold(files, `${path}.1`);
    if (older === undefined) return NOTHING_MISSED;
    try {
      const { skipped, begin } = contentOf(older);
      // Behind the place up to which was read there is a gap, which the older file's first line tells of.
      if (position < skipped) return { bytes: rest(older), at: 0 };
      const there = position - skipped + begin;
      const at = there - Number(older.facts.size);
      // A rotation may leave the last bytes of what it moves, a part of a block, in the current file.
      if (at > 0) return isBehind(file, at, mark) ? { bytes: NONE, at } : NOTHING_MISSED;
      if (!isBehind(older, there, mark.subarray(Math.max(0, mark.length - (there - begin))))) return NOTHING_MISSED;
      older.position = there;
      return { bytes: rest(older), at: 0 };
    } finally {
      older.file.close();
    }
  };

  const isAnother = (file: Held): boolean =>
    Number(file.file.facts().size) < file.position || !continues(file, file.position) || wasEmptied(file);
  const restart = (file: Held, at: number): void => {
    file.position = at;
    mark = file.file.read(Math.max(0, at - MARK_BYTES), Math.min(at, MARK_BYTES));
    olderThen = lookAtOlder();
  };
  /** Everything from here on, what the older file has of it included. */
  const readOn = (file: Held): Buffer => {
    const read: Buffer[] = [];
    for (;;) {
      const { position } = file;
      const bytes = rest(file);
      const end = file.position;
      file.position = position;
      if (!isAnother(file)) {
        file.position = end;
        mark = Buffer.concat([mark, bytes]).subarray(-MARK_BYTES);
        return Buffer.concat([...read, bytes]);
      }
      // Emptied, before the reading or in the middle of it: what was read may be of two contents.
      const { bytes: moved, at } = missed(file, position);
      read.push(moved);
      restart(file, at);
    }
  };

  return {
    read() {
      const found = hold(files, path);
      if (held === undefined) {
        if (found === undefined) return Buffer.alloc(0);
        held = found;
        olderThen = lookAtOlder();
        const older = hold(files, `${path}.1`);
        const before = older === undefined ? Buffer.alloc(0) : rest(older);
        older?.file.close();
        return Buffer.concat([before, readOn(held)]);
      }
      const before: Buffer[] = [];
      if (found !== undefined && !sameFile(found.facts, held.facts)) {
        // Deleted and made anew by somebody else.
        before.push(rest(held));
        held.file.close();
        held = found;
        restart(held, 0);
      } else found?.file.close();
      return Buffer.concat([...before, readOn(held)]);
    },
    close() {
      held?.file.close();
      held = undefined;
    },
  };
}

const NONE: Buffer = Buffer.alloc(0);
const NOTHING_MISSED = { bytes: NONE, at: 0 } as const;

/** Are the bytes in front of `position` the last ones of `mark`? */
function isBehind({ file }: Held, position: number, mark: Buffer): boolean {
  const known = mark.subarray(Math.max(0, mark.length - position));
  return known.equals(file.read(position - known.length, known.length));
}

function beginsAlike(files: Files, olderPath: string, current: Held): boolean {
  const older = hold(files, olderPath);
  if (older === undefined) return false;
  try {
    const { skipped, begin } = contentOf(older);
    const [a, b] = [older.file.read(begin, MARK_BYTES), current.file.read(skipped, MARK_BYTES)];
    const length = Math.min(a.length, b.length);
    return b.length > 0 && a.subarray(0, length).equals(b.subarray(0, length));
  } finally {
    older.file.close();
  }
}

/** Where the content of an older file begins, behind a note of what was skipped in front of it. */
function contentOf({ file }: Held): { skipped: number; begin: number } {
  const note = readDroppedNote(file.read(0, MAX_NOTE_BYTES).toString("latin1"));
  return note === undefined ? { skipped: 0, begin: 0 } : { skipped: note.droppedBytes, begin: note.noteBytes };
}

function hold(files: Files, path: string): Held | undefined {
  const file = files.open(path, "read");
  return file && { file, facts: file.facts(), position: 0 };
}

function rest(held: Held): Buffer {
  const chunks: Buffer[] = [];
  for (;;) {
    const chunk = held.file.read(held.position, CHUNK_BYTES);
    if (chunk.length === 0) return Buffer.concat(chunks);
    held.position += chunk.length;
    chunks.push(chunk);
  }
}
