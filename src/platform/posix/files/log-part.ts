/** Parts of a log by their offsets. */
import { fstatSync, read as readCallback, readSync } from "node:fs";
import { promisify } from "node:util";

const read = promisify(readCallback);

/** In these a line begins, or the cut goes through one. */
const LINE_BYTES = 4096;

/** Bytes. @throws as node:fs does */
export function sizeOf(fd: number): number {
  return fstatSync(fd).size;
}

/** Shorter when the file is. @throws as node:fs does */
export async function readPart(fd: number, from: number, end: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(Math.max(0, end - from));
  if (bytes.length === 0) return bytes;
  const { bytesRead } = await read(fd, bytes, 0, bytes.length, from);
  return bytes.subarray(0, bytesRead);
}

/** The same, at once: for a few pages that have just been written, which are in memory. */
export function readPartNow(fd: number, from: number, end: number): Buffer {
  const bytes = Buffer.allocUnsafe(end - from);
  return bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, from));
}

/** Where the first line at or behind `from` begins; `from` itself when none does nearby. */
export async function lineStart(fd: number, from: number, end: number): Promise<number> {
  if (from === 0) return 0;
  return from + firstLine(await readPart(fd, from - 1, Math.min(end, from + LINE_BYTES)));
}

/** Where the first line begins behind the first byte of `bytes`, counted from the second one; 0 when none does nearby. */
export function firstLine(bytes: Buffer): number {
  return Math.max(0, bytes.subarray(0, LINE_BYTES + 1).indexOf("\n"));
}
