import { fstatSync, lstatSync } from "node:fs";
import { sameFile } from "../../model/file-identity.ts";

/** Does the path lead to the open file? A link there is another file. @throws as node:fs does */
export function isAt(path: string, fd: number): boolean {
  return sameFile(lstatSync(path, { bigint: true, throwIfNoEntry: false }), fstatSync(fd, { bigint: true }));
}
