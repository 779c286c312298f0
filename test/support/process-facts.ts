/** What /proc says of processes: which belong to a test, their command lines and open files. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** Live processes whose environment mentions `root`; zombies have none. */
export function pidsOf(root: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => environmentOf(pid).includes(root))
    .map(Number);
}

function environmentOf(pid: string): string {
  try {
    for (;;) {
      const environment = readFileSync(`/proc/${pid}/environ`, "latin1");
      if (environment !== "" || hasNoEnvironment(pid)) return environment;
    }
  } catch {
    return "";
  }
}

/**
 * Nothing can also be read from a process in the middle of execve(2), which has left the old environment and has no new
 * one yet. Throws for what has no program: zombies, threads of the kernel.
 */
function hasNoEnvironment(pid: string): boolean {
  readlinkSync(`/proc/${pid}/exe`);
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  // Fields 50 and 51 of proc(5); behind the name of the program is field 3.
  const [start, end] = stat
    .slice(stat.lastIndexOf(")") + 2)
    .split(" ")
    .slice(50 - 3);
  return start === end && end !== "0";
}

export function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
  } catch {
    return "(gone)";
  }
}

/** What the descriptors of a process lead to. */
export function openFiles(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${fd}`)];
    } catch {
      return [];
    }
  });
}

/** Node's own, opened when it needs them: nothing in this package makes an eventfd or an io_uring. */
export const OF_THE_EVENT_LOOP: readonly string[] = ["anon_inode:[eventfd]", "anon_inode:[io_uring]"];

/** How many descriptors a process has open, but for those of its event loop. */
export function descriptorsOf(pid: number): number {
  return openFiles(pid).filter((target) => !OF_THE_EVENT_LOOP.includes(target)).length;
}
