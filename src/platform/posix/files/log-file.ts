/**
 * Logs that processes write to by themselves, through a descriptor they inherit. Everything is asked of the open file:
 * another file put at its path does not mislead it.
 */
import { constants, fstatSync, readSync, writeSync } from "node:fs";
import { attempt } from "../../errno.ts";
import { closeFd } from "../../node/close-fd.ts";
import { watchPath } from "../../node/watch-path.ts";
import type { LogFile, LogRotation, Transferable } from "../../ports/index.ts";
import { lend } from "../descriptors.ts";
import type { CollapseHead } from "./collapse-log.ts";
import { checkOwnFile, checkOwnPath } from "./own-file.ts";
import { openPrivateFile } from "./private-file.ts";
import { rotateOpenLog } from "./rotate-log.ts";

/** A log as files have it here: by a descriptor. */
export interface DescriptorLog extends LogFile {
  readonly fd: number;
}

/**
 * `openLog` of one platform: its logs are rotated one after the other, so that a slow disk occupies one thread of the pool.
 * `collapseHead`: undefined for a system without that call.
 */
export function createLogOpener(collapseHead: CollapseHead | undefined): (path: string) => DescriptorLog {
  let before: Promise<unknown> = Promise.resolve();
  const inTurn = (work: () => Promise<LogRotation>): Promise<LogRotation> => {
    const done = before.then(work);
    before = done;
    return done;
  };
  return (path) => new NodeLogFile(openChecked(path), path, { inTurn, collapseHead });
}

/**
 * Not O_NONBLOCK, which the children would get with the descriptor: what is no file is refused before it is opened, and of a
 * FIFO that takes its place in between open(2) does not wait for a reader, because it is opened for reading, too (fifo(7)).
 */
function openChecked(path: string): number {
  return attempt(path, () => {
    checkOwnPath(path);
    const fd = openPrivateFile(path, constants.O_RDWR | constants.O_APPEND);
    try {
      checkOwnFile(fd, path);
      return fd;
    } catch (error) {
      closeFd(fd);
      throw error;
    }
  });
}

/** What belongs to the words since the mark: bytes that are not in the file any more, and where those begin that are. */
interface Marked {
  readonly aside: Buffer;
  readonly start: number;
}

const NONE = Buffer.alloc(0);
const NOT_ROTATED: LogRotation = { droppedBytes: 0, emptied: false };

class NodeLogFile implements DescriptorLog {
  private marked: Marked = { aside: NONE, start: 0 };
  /** Holds as soon as the file has become shorter than `end`. */
  private emptying: (Marked & { readonly end: number }) | undefined;
  private rotation: Promise<LogRotation> | undefined;
  private closed = false;

  constructor(
    readonly fd: number,
    private readonly path: string,
    private readonly shared: {
      readonly inTurn: (work: () => Promise<LogRotation>) => Promise<LogRotation>;
      readonly collapseHead: CollapseHead | undefined;
    },
  ) {}

  get transferable(): Transferable {
    return lend(this.fd);
  }

  size(): number {
    return attempt(this.path, () => fstatSync(this.fd).size);
  }

  append(text: string): void {
    const bytes = Buffer.from(text);
    attempt(this.path, () => {
      for (let done = 0; done < bytes.length; ) done += writeSync(this.fd, bytes, done);
    });
  }

  mark(): void {
    this.marked = { aside: NONE, start: this.size() };
  }

  words(maxBytes: number): string {
    if (this.closed) return "";
    const size = this.size();
    const { aside, start } = this.emptying !== undefined && size < this.emptying.end ? this.emptying : this.marked;
    // One byte more than wanted: what comes before the first whole line is cut, and that byte may end the line before.
    const from = Math.max(start, size - maxBytes - 1);
    const bytes = Buffer.concat([aside, this.readAt(from, size - from)]);
    if (bytes.length <= maxBytes) return bytes.toString();
    const text = bytes.subarray(-maxBytes - 1).toString();
    return text.slice(text.indexOf("\n") + 1);
  }

  rotate(keepBytes: number): Promise<LogRotation> {
    // The number of its descriptor may be another file's by now.
    if (this.closed) return Promise.resolve(NOT_ROTATED);
    this.rotation ??= this.shared
      .inTurn(async () => {
        if (this.closed) return NOT_ROTATED;
        return rotateOpenLog(
          {
            fd: this.fd,
            path: this.path,
            collapseHead: this.shared.collapseHead,
            stopped: () => this.closed,
            emptying: (end, before, beforeEnd) => {
              this.emptying = { end, start: 0, aside: this.sinceMark(before, beforeEnd) };
            },
            emptied: (kept) => {
              this.emptying = undefined;
              if (kept === undefined) return;
              const { before, beforeEnd, from, at } = kept;
              const { start } = this.marked;
              this.marked = { aside: this.sinceMark(before, beforeEnd), start: start > from ? start - from + at : 0 };
            },
          },
          keepBytes,
        );
      })
      .finally(() => {
        this.rotation = undefined;
        if (this.closed) closeFd(this.fd);
      });
    return this.rotation;
  }

  watch(onChange: () => void): { close(): void } | undefined {
    // By its descriptor, so that it is the open file whatever the path leads to. Without /dev, by its path.
    return watchPath(`/dev/fd/${this.fd}`, onChange) ?? watchPath(this.path, onChange);
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    // A rotation that is under way still uses the descriptor.
    if (this.rotation === undefined) closeFd(this.fd);
  }

  /** Of bytes that end at `end`, those behind the mark. */
  private sinceMark(bytes: Buffer, end: number): Buffer {
    return bytes.subarray(Math.max(0, bytes.length - Math.max(0, end - this.marked.start)));
  }

  private readAt(position: number, length: number): Buffer {
    if (length <= 0) return NONE;
    return attempt(this.path, () => {
      const bytes = Buffer.allocUnsafe(length);
      return bytes.subarray(0, readSync(this.fd, bytes, 0, length, position));
    });
  }
}
