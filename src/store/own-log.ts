/** A log that this process writes itself, a line at a time, and keeps within its limit. One older file is kept. */
import { droppedNote } from "../model/dropped-note.ts";
import type { LogFile } from "../platform/ports.ts";

/** A log is emptied when it has reached this part of its limit: lines that come meanwhile still fit into the older file. */
const FULL = 7 / 8;

export interface OwnLog {
  /** Never throws, never waits for more than the write itself. What finds no room is dropped, and counted in the log. */
  write(text: string): void;
}

/** Consumes `file`, to which other processes may write, too. `maxBytes`: of the file and of its older one, each. */
export function createOwnLog(file: LogFile, maxBytes: number): OwnLog {
  const log = new WrittenLog(file, maxBytes);
  return { write: (text) => log.write(text) };
}

class WrittenLog {
  private rotating = false;
  private droppedBytes = 0;
  /** The size at which it is emptied. */
  private emptyAt: number;
  /** The size at which it could not be emptied. */
  private stuckAt = 0;

  constructor(
    private readonly file: LogFile,
    private readonly maxBytes: number,
  ) {
    this.emptyAt = maxBytes * FULL;
  }

  write(text: string): void {
    try {
      const size = this.file.size();
      if (this.rotating && size + Buffer.byteLength(text) > this.maxBytes) {
        this.droppedBytes += Buffer.byteLength(text);
        return;
      }
      this.tellDropped();
      this.file.append(text);
      if (!this.rotating && size >= this.emptyAt) void this.rotate();
    } catch {
      this.droppedBytes += Buffer.byteLength(text);
      // A log that has filled its file system gives it back.
      if (!this.rotating && this.hasContent()) void this.rotate();
    }
  }

  private async rotate(): Promise<void> {
    this.rotating = true;
    const { emptied } = await this.file.rotate(this.maxBytes);
    this.rotating = false;
    // What cannot be emptied has been copied all the same: it is tried again when so much is new that the copy is old.
    this.stuckAt = emptied ? 0 : this.size();
    this.emptyAt = emptied ? this.maxBytes * FULL : this.stuckAt + this.maxBytes;
  }

  private tellDropped(): void {
    if (this.droppedBytes === 0) return;
    this.file.append(droppedNote(this.droppedBytes));
    this.droppedBytes = 0;
  }

  private hasContent(): boolean {
    return this.size() > Math.max(this.maxBytes / 8, this.stuckAt);
  }

  private size(): number {
    try {
      return this.file.size();
    } catch {
      return 0;
    }
  }
}
