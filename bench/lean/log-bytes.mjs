// What a service's log takes on the disk: for the benchmark of logs and for chaos, which flood one.
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";

/** Bytes of a service's logs and their older files; `state` is the broker's XDG_STATE_HOME. */
export function logBytes(state, service) {
  const directory = join(state, "running-process/logs");
  return readdirSync(directory)
    .filter((name) => name.startsWith(`${service}-`))
    .map((name) => sizeOf(join(directory, name)))
    .reduce((sum, size) => sum + size, 0);
}

/** 0 for one that was rotated away since it was listed. */
function sizeOf(path) {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
