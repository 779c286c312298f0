// Which processor a process runs on (sched_setaffinity(2)); its main thread, that is, where all its work is done.
import { readFileSync } from "node:fs";
import koffi from "koffi";

const setAffinity = koffi.load("libc.so.6").func("int sched_setaffinity(int pid, size_t size, const void *mask)");
/** Room for as many processors as the kernel was built for. */
const MASK_BYTES = 1024;

/** Numbers of those that this process may use. */
function processors() {
  const [, list] = /^Cpus_allowed_list:\s*(\S+)$/m.exec(readFileSync("/proc/self/status", "latin1"));
  return list.split(",").flatMap((range) => {
    const [first, last = first] = range.split("-").map(Number);
    return Array.from({ length: last - first + 1 }, (_, offset) => first + offset);
  });
}

function placeOn(processor, pids) {
  const mask = Buffer.alloc(MASK_BYTES);
  mask[processor >> 3] = 1 << (processor & 7);
  for (const pid of pids)
    if (setAffinity(pid, mask.length, mask) !== 0)
      throw new Error(`sched_setaffinity failed with errno ${koffi.errno()}`);
}

/**
 * Waking a process on another processor costs more than all the rest of an exchange, and where the kernel has put a
 * process it mostly stays: left to chance, one row would be measured with that and the other without.
 */
export const PLACEMENTS = { same: "one processor", other: "two processors" };

/** `measure` with the processes `servers` on this one's processor, and on another one. Samples by `id-placement`. */
export async function measurePlaced(servers, measure) {
  const [here, there = here] = processors();
  const report = {};
  for (const [placement, processor] of Object.entries({ same: here, other: there })) {
    placeOn(here, [process.pid]);
    placeOn(processor, servers);
    for (const [id, micros] of Object.entries(await measure())) report[`${id}-${placement}`] = micros;
  }
  return report;
}
