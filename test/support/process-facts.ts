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

export interface OpenDescriptor {
  readonly fd: number;
  /** What it leads to: a path, or `socket:[INODE]` and the like (proc(5)). */
  readonly target: string;
}

/** The descriptors of a process. One that is closed meanwhile is left out, such as that by which our own are listed. */
export function descriptorsIn(pid: number): OpenDescriptor[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((name) => {
    try {
      return [{ fd: Number(name), target: readlinkSync(`/proc/${pid}/fd/${name}`) }];
    } catch {
      return [];
    }
  });
}

/** The flags of an open descriptor (proc(5), fdinfo). */
export function flagsOf(fd: number, pid: number = process.pid): number {
  const line = /^flags:\s*([0-7]+)$/m.exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, "utf8"));
  return Number.parseInt(line?.[1] ?? "", 8);
}

export const O_NONBLOCK = 0o4000;
export const O_CLOEXEC = 0o2000000;

/** What the descriptors of a process lead to. */
export function openFiles(pid: number): string[] {
  return descriptorsIn(pid).map(({ target }) => target);
}

/** Node's own, opened when it needs them: nothing in this package makes an eventfd or an io_uring. */
export const OF_THE_EVENT_LOOP: readonly string[] = ["anon_inode:[eventfd]", "anon_inode:[io_uring]"];

/** How many descriptors a process has open, but for those of its event loop. */
export function descriptorsOf(pid: number): number {
  return openFiles(pid).filter((target) => !OF_THE_EVENT_LOOP.includes(target)).length;
}
