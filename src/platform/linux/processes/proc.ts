/** What /proc says about processes (proc(5)). Everything is read at one moment and may be outdated at the next. */
import { readdirSync, readlinkSync, statSync } from "node:fs";
import { sameFile } from "../../../model/file-identity.ts";
import { attempt } from "../../errno.ts";
import type { ProcessFacts } from "../../ports/index.ts";
import { ownerOf } from "../../posix/user.ts";
import { readProcFile } from "./proc-file.ts";

/** Undefined when the process is gone, a zombie, or not ours to look at. */
export function readFacts(pid: number): ProcessFacts | undefined {
  try {
    const stat = readStat(pid);
    if (stat === undefined || stat.state === "Z" || stat.state === "X") return undefined;
    const argv = readProcFile(`/proc/${pid}/cmdline`).toString("utf8").split("\0").slice(0, -1);
    return {
      pid,
      startToken: stat.startTime,
      sessionId: stat.sessionId,
      ...readExecutable(`/proc/${pid}/exe`),
      argv,
      owner: ownerOf(statSync(`/proc/${pid}`).uid),
    };
  } catch {
    return undefined;
  }
}

/** What the kernel puts behind the path of an executable whose file is not there any more (proc_pid_exe(5)). */
const DELETED = " (deleted)";

/** A file may be called so, too: then it is at this path. */
function readExecutable(link: string): Pick<ProcessFacts, "exePath" | "exeReplaced"> {
  const shown = readlinkSync(link);
  if (!shown.endsWith(DELETED) || isSameFile(link, shown)) return { exePath: shown, exeReplaced: false };
  return { exePath: shown.slice(0, -DELETED.length), exeReplaced: true };
}

/** The path need not be one that can be looked at: a directory on its way may be a file now, or the name too long with the suffix. */
function isSameFile(one: string, other: string): boolean {
  try {
    return sameFile(statSync(one, { bigint: true }), statSync(other, { bigint: true }));
  } catch {
    return false;
  }
}

export interface ProcessStat {
  readonly state: string;
  readonly sessionId: number;
  /** Clock ticks since boot (field 22 of /proc/PID/stat, proc_pid_stat(5)), as text. */
  readonly startTime: string;
}

export function readStat(pid: number): ProcessStat | undefined {
  let text: string;
  try {
    text = readProcFile(`/proc/${pid}/stat`).toString("latin1");
  } catch {
    return undefined;
  }
  // The command name may hold blanks and parentheses; the last ")" ends it. Fields after it count from 3.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const [state, , , session] = fields;
  const startTime = fields[19];
  if (state === undefined || session === undefined || startTime === undefined) return undefined;
  return { state, sessionId: Number(session), startTime };
}

/** Every process id there is right now. @throws BrokerError IO_FAILED */
export function listPids(): number[] {
  return attempt("/proc", () => readdirSync("/proc"))
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

/** Was the process started with this variable? False when its environment cannot be read. */
export function hasEnvironment(pid: number, entry: string): boolean {
  try {
    return holdsEntry(readProcFile(`/proc/${pid}/environ`), Buffer.from(`${entry}\0`));
  } catch {
    return false;
  }
}

/** Is it one of the entries, each of which a NUL byte ends? */
function holdsEntry(entries: Buffer, wanted: Buffer): boolean {
  for (let at = entries.indexOf(wanted); at >= 0; at = entries.indexOf(wanted, at + 1))
    if (at === 0 || entries[at - 1] === 0) return true;
  return false;
}
