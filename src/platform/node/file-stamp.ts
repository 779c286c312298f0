import type { BigIntStats } from "node:fs";
import type { FileStamp } from "../ports.ts";

/** What tells one content of a file from another without reading it. */
export function stampOf(facts: BigIntStats): FileStamp {
  return { dev: facts.dev, ino: facts.ino, mtimeNs: facts.mtimeNs, size: facts.size };
}
