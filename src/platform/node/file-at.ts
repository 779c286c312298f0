import { fstatSync, lstatSync } from "node:fs";

/** Does the path lead to the open file? A link there is another file. @throws as node:fs does */
export function isAt(path: string, fd: number): boolean {
  const there = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  const { ino, dev } = fstatSync(fd, { bigint: true });
  return there !== undefined && there.ino === ino && there.dev === dev;
}
