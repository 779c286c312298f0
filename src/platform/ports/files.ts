/** Files and directories. */
import type { FileStamp } from "../../model/file-identity.ts";
import type { Executables } from "./executables.ts";
import type { Logs } from "./logs.ts";
import type { Paths } from "./paths.ts";
import type { Owned } from "./user.ts";
import type { Watching } from "./watching.ts";

export type FileKind = "file" | "directory" | "socket" | "link" | "other";

export interface FileFacts extends FileStamp, Owned {
  readonly kind: FileKind;
  /** Permission bits only. */
  readonly mode: number;
}

/** A file held open: whatever is renamed or put in its place meanwhile, it stays the same one. */
export interface OpenFile {
  /** @throws BrokerError IO_FAILED */
  facts(): FileFacts;
  /** False once no directory names it any more. */
  linked(): boolean;
  /** At most `maxBytes` from `position` on; empty at the end. @throws BrokerError IO_FAILED */
  read(position: number, maxBytes: number): Buffer;
  /**
   * One write, which goes behind whatever is there, whole. Returns how much of it went in: less
   * than everything when room ran out on the way.
   *
   * @throws BrokerError IO_FAILED (ENOSPC, EDQUOT, EFBIG, …)
   */
  append(bytes: Uint8Array): number;
  close(): void;
}

/** All that is done with files, by trade; a module takes what it uses (`Pick<Files, "read">`, `Executables`). */
export interface Files extends Executables, Logs, Watching {
  /** The same as `Platform.paths`, for a module that is given files alone. */
  readonly paths: Paths;
  /** Of the file itself, not of what a link leads to; undefined when nothing is there. @throws BrokerError IO_FAILED */
  facts(path: string): FileFacts | undefined;
  /** Resolves links. @throws BrokerError IO_FAILED (ENOENT, EACCES, ELOOP, …) */
  realpath(path: string): string;
  /**
   * A whole regular file of ours, with the stamp of what was read; undefined when nothing is there.
   *
   * @throws BrokerError FILE_INSECURE (not a regular file, or not owned by us or root), IO_FAILED (EFBIG above `maxBytes`)
   */
  read(path: string, maxBytes: number): { bytes: Buffer; stamp: FileStamp } | undefined;
  /** Names in a directory, sorted; empty when it does not exist. @throws BrokerError IO_FAILED */
  list(directory: string): readonly string[];
  /** Creates or replaces `path` as a whole: temporary file, fsync, rename, fsync of the directory. Mode 0600. @throws BrokerError IO_FAILED */
  writeAtomic(path: string, bytes: Uint8Array): void;
  /** Removes the temporary files of `writeAtomic` whose writer was killed, as far as it can. Returns how many there were. */
  sweepTemporaries(directory: string): number;
  /** True when something was removed. @throws BrokerError IO_FAILED unless the file was not there. */
  remove(path: string): boolean;
  /**
   * Creates `path` and missing parents with mode 0700, whatever the umask, and verifies it: a real directory (no link),
   * ours, closed to others. Never repairs an existing one. Creates nothing in a directory of another user, unless it is a
   * sticky one of root's.
   *
   * @throws BrokerError DIRECTORY_INSECURE (`details.path`, `details.check`: owner, mode, link, kind; `details.owner`),
   * IO_FAILED
   */
  ensurePrivateDirectory(path: string): void;
  /** The checks of `ensurePrivateDirectory` without creating; false when nothing is there. */
  checkPrivateDirectory(path: string): boolean;
  /**
   * May a socket in `path` be connected to? It must be ours or root's, and not writable by other users unless sticky, and so
   * must be what leads to it below a directory that everybody may write to. False when nothing is there. What was found
   * good once is not checked again, unless `again` says so.
   *
   * @throws BrokerError DIRECTORY_INSECURE, IO_FAILED
   */
  checkConnectDirectory(path: string, options?: { readonly again?: boolean }): boolean;
  /** A symbolic link at `path`; one that is there already stays. @throws BrokerError IO_FAILED */
  symlink(target: string, path: string): void;
  /** Removes a directory if it is empty. Returns whether it did; never throws. */
  removeEmptyDirectory(path: string): boolean;
  /**
   * A regular file of ours or root's; links are not followed. `append` creates it with mode 0600, `read` gives undefined
   * when nothing is there. No child inherits it.
   *
   * @throws BrokerError FILE_INSECURE, IO_FAILED
   */
  open(path: string, mode: "append"): OpenFile;
  open(path: string, mode: "read"): OpenFile | undefined;
  /** Replaces what is at `to`. @throws BrokerError IO_FAILED */
  rename(from: string, to: string): void;
}
