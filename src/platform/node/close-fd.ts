/** Giving up a descriptor. */
import { closeSync } from "node:fs";
import { errnoOf } from "../errno.ts";

/**
 * close(2): whatever else it says, the descriptor is gone. What it may say (EIO, ENOSPC, EDQUOT of what was written before on a
 * network's file system) is no reason to leave undone what comes after.
 *
 * @throws for one that is not open only, which is a fault of ours
 */
export function closeFd(fd: number): void {
  try {
    closeSync(fd);
  } catch (error) {
    if (errnoOf(error) === "EBADF") throw error;
  }
}
