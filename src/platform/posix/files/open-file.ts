/** Files that are read or appended to over a while, and what is true of any file. */
import { type BigIntStats, constants, fstatSync, openSync, readSync, writeSync } from "node:fs";
import { stampOf } from "../../../model/file-identity.ts";
import { errnoOf, fromNodeError } from "../../errno.ts";
import { closeFd } from "../../node/close-fd.ts";
import type { FileFacts, FileKind, OpenFile } from "../../ports/index.ts";
import { ownerOf } from "../user.ts";
import { checkOwn } from "./own-file.ts";
import { openPrivateFile } from "./private-file.ts";

/** Non-blocking, so that a fifo put in a file's place is refused below instead of waited for. */
const OPEN = {
  read: (path: string) => openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK),
  append: (path: string) => openPrivateFile(path, constants.O_WRONLY | constants.O_APPEND | constants.O_NONBLOCK),
} as const;

export function openFile(path: string, mode: "append"): OpenFile;
export function openFile(path: string, mode: "read"): OpenFile | undefined;
/** @see Files.open */
export function openFile(path: string, mode: keyof typeof OPEN): OpenFile | undefined {
  let fd: number;
  try {
    fd = OPEN[mode](path);
  } catch (error) {
    if (mode === "read" && errnoOf(error) === "ENOENT") return undefined;
    throw fromNodeError(error, path);
  }
  try {
    checkOwn(fstatSync(fd, { bigint: true }), path, { orRoots: true });
    return new NodeFile(fd, path);
  } catch (error) {
    closeFd(fd);
    throw fromNodeError(error, path);
  }
}

export function factsOf(stats: BigIntStats): FileFacts {
  return {
    ...stampOf(stats),
    kind: kindOf(stats),
    owner: ownerOf(Number(stats.uid)),
    mode: Number(stats.mode & 0o7777n),
  };
}

function kindOf(stats: BigIntStats): FileKind {
  if (stats.isFile()) return "file";
  if (stats.isDirectory()) return "directory";
  if (stats.isSocket()) return "socket";
  return stats.isSymbolicLink() ? "link" : "other";
}

class NodeFile implements OpenFile {
  private closed = false;

  constructor(
    private readonly fd: number,
    private readonly path: string,
  ) {}

  facts(): FileFacts {
    return factsOf(this.stats());
  }

  linked(): boolean {
    return this.stats().nlink > 0n;
  }

  read(position: number, maxBytes: number): Buffer {
    return this.attempt(() => {
      const bytes = Buffer.allocUnsafe(maxBytes);
      return bytes.subarray(0, readSync(this.fd, bytes, 0, maxBytes, position));
    });
  }

  append(bytes: Uint8Array): number {
    return this.attempt(() => writeSync(this.fd, bytes));
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    closeFd(this.fd);
  }

  private stats(): BigIntStats {
    return this.attempt(() => fstatSync(this.fd, { bigint: true }));
  }

  private attempt<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw fromNodeError(error, this.path);
    }
  }
}
