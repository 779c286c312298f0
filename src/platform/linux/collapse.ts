import { fallocateAside } from "./kernel/libc.ts";

const FALLOC_FL_COLLAPSE_RANGE = 8;

/**
 * Takes the first `bytes` out of a file, a multiple of its block size and less than its size: what was behind them begins the
 * file, in one step for every process that reads or appends. On a thread of the pool, because the kernel writes that part of
 * the file to its disk first. False where it cannot be done: not on ext4 or XFS, say (fallocate(2), FALLOC_FL_COLLAPSE_RANGE).
 */
export function collapseHead(fd: number, bytes: number): Promise<boolean> {
  return new Promise((resolve) => {
    fallocateAside(fd, FALLOC_FL_COLLAPSE_RANGE, 0, bytes, (error, result) => resolve(error === null && result === 0));
  });
}
