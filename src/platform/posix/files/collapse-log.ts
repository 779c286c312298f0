/** Taking the head of a log away under its writer, where the file system can do that in one step: nothing is lost unseen. */
import { fstatSync } from "node:fs";

/** @see collapseHead in platform/linux/collapse.ts */
export type CollapseHead = (fd: number, bytes: number) => Promise<boolean>;

/** Less is not worth a call whose remainder is a block. */
const LEAST_BLOCKS = 16;

/**
 * How many of the first bytes to take away: what was copied, up to `copiedEnd`, in whole blocks, and more when over `mostBytes`
 * would stay behind that. The range must end before the file does. 0: not in this way.
 */
export function headToCollapse(
  fd: number,
  { copiedEnd, end, mostBytes, keepBytes }: { copiedEnd: number; end: number; mostBytes: number; keepBytes: number },
): number {
  const { blksize: blockBytes } = fstatSync(fd);
  if (keepBytes < LEAST_BLOCKS * blockBytes) return 0;
  const wanted = end - copiedEnd <= mostBytes ? copiedEnd : end - mostBytes;
  return Math.floor(Math.min(wanted, end - 1) / blockBytes) * blockBytes;
}
