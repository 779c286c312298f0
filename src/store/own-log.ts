/** A log that this process writes itself, a line at a time, and keeps within its limit. One older file is kept. */
import { droppedNote } from "../model/dropped-note.ts";
import type { LogFile } from "../platform/ports/index.ts";
import { createLogLimit, type LogLimit } from "./log-limit.ts";

export interface OwnLog {
  /** Never throws, never waits for more than the write itself. What finds no room is dropped, and counted in the log. */
  write(text: string): void;
}

/** Consumes `file`, to which other processes may write, too. `maxBytes`: of the file and of its older one, each. */
export function createOwnLog(file: LogFile, maxBytes: number): OwnLog {
  return new WrittenLog(file, maxBytes);
}

class WrittenLog implements OwnLog {
  private rotating = false;
  private droppedBytes = 0;
  private readonly limit: LogLimit;

  constructor(
    private readonly file: LogFile,
    private readonly maxBytes: number,
  ) {
    this.limit = createLogLimit(maxBytes);
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
      if (!this.rotating && this.limit.isFull(size)) void this.rotate();
    } catch {
      this.droppedBytes += Buffer.byteLength(text);
      // A log that has filled its file system gives it back.
      if (!this.rotating && this.limit.hasContent(this.size())) void this.rotate();
    }
  }

  private async rotate(): Promise<void> {
    this.rotating = true;
    const { emptied } = await this.file.rotate(this.maxBytes);
    this.rotating = false;
    if (emptied) this.limit.emptied();
    else this.limit.stuck(this.size());
  }

  private tellDropped(): void {
    if (this.droppedBytes === 0) return;
    this.file.append(droppedNote(this.droppedBytes));
    this.droppedBytes = 0;
  }

  private size(): number {
    try {
      return this.file.size();
    } catch {
      return 0;
    }
  }
}
