/**
 * Reading files of /proc. They have no size to ask for, so Node's own `readFileSync` makes a buffer of 64 KiB for each, and
 * one look at all processes of a machine leaves behind megabytes that neither V8 nor malloc gives back to the system. Reading
 * is synchronous, so one buffer serves all.
 */
import { closeSync, openSync, readSync } from "node:fs";

const SCRATCH_BYTES = 64 * 1024;
const scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);

/** The whole file. Only good until the next call: take what is needed out of it. @throws as node:fs does */
export function readProcFile(path: string): Buffer {
  const fd = openSync(path, "r");
  try {
    let bytes = scratch;
    for (let filled = 0; ; ) {
      const got = readSync(fd, bytes, filled, bytes.length - filled, null);
      if (got === 0) return bytes.subarray(0, filled);
      filled += got;
      if (filled === bytes.length) bytes = Buffer.concat([bytes], bytes.length * 2);
    }
  } finally {
    closeSync(fd);
  }
}
