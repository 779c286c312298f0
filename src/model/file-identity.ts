/**
 * Which file, and which content of it. A path says neither: between two looks at it the file may have been replaced or
 * rewritten. What is not there, or could not be seen, is the same as nothing, itself included.
 */

/** One file of this system, for as long as the file exists (inode(7)): its inode number may be given to another one later. */
export interface FileIdentity {
  readonly dev: bigint;
  readonly ino: bigint;
}

/** One content of a file, by what changes when the file is written. */
export interface FileStamp extends FileIdentity {
  /** Since 1970. */
  readonly mtimeNs: bigint;
  /** In bytes. */
  readonly size: bigint;
}

/** Only the stamp of what may hold more, for one who keeps it. */
export function stampOf({ dev, ino, mtimeNs, size }: FileStamp): FileStamp {
  return { dev, ino, mtimeNs, size };
}

/** The same text for the same stamp only. */
export function stampText({ dev, ino, mtimeNs, size }: FileStamp): string {
  return `${dev}:${ino}:${mtimeNs}:${size}`;
}

export function sameFile(a: FileIdentity | undefined, b: FileIdentity | undefined): boolean {
  return a !== undefined && b !== undefined && a.ino === b.ino && a.dev === b.dev;
}

/** Is it the same file, and has nothing been written to it? Written within one tick of the file system's clock, it may have been. */
export function sameStamp(a: FileStamp | undefined, b: FileStamp | undefined): boolean {
  return sameFile(a, b) && a?.mtimeNs === b?.mtimeNs && a?.size === b?.size;
}
