import type { FileStamp } from "../platform/ports.ts";

/** Has nothing been written to the file, and is it the same one? */
export function sameStamp(a: FileStamp, b: FileStamp): boolean {
  return a.ino === b.ino && a.mtimeNs === b.mtimeNs && a.size === b.size && a.dev === b.dev;
}
