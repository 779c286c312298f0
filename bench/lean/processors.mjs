// Which processor a process runs on (sched_setaffinity(2)); its main thread, that is, where all its work is done.
import { readFileSync } from "node:fs";
import koffi from "koffi";

const setAffinity = koffi.load("libc.so.6").func("int sched_setaffinity(int pid, size_t size, const void *mask)");
/** Room for as many processors as the kernel was built for. */
const MASK_BYTES = 1024;

/** Numbers of those that this process may use. */
export function processors() {
  const [, list] = /^Cpus_allowed_list:\s*(\S+)$/m.exec(readFileSync("/proc/self/status", "latin1"));
  return list.split(",").flatMap((range) => {
    const [first, last = first] = range.split("-").map(Number);
    return Array.from({ length: last - first + 1 }, (_, offset) => first + offset);
  });
}

export function placeOn(processor, pids) {
  const mask = Buffer.alloc(MASK_BYTES);
  mask[processor >> 3] = 1 << (processor & 7);
  for (const pid of pids)
    if (setAffinity(pid, mask.length, mask) !== 0)
      throw new Error(`sched_setaffinity failed with errno ${koffi.errno()}`);
}
