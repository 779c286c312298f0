/** Who listens at a path, seen without connecting. */
import { listPids } from "./proc.ts";
import { LISTENING, readUnixTable, socketsOf } from "./unix-table.ts";

/** @see Processes.listenersAt */
export function listenersAt(path: string, pid: number): readonly string[] | undefined {
  try {
    const sockets = readUnixTable([path], pid);
    return sockets.length === 0 ? undefined : sockets.filter(isListening).map(({ inode }) => inode);
  } catch {
    return undefined;
  }
}

function isListening({ flags }: { flags: number }): boolean {
  return (flags & LISTENING) !== 0;
}

/** @see Processes.holdersOf */
export function holdersOf(sockets: readonly string[], among: readonly number[] = listPids()): readonly number[] {
  const wanted = new Set(sockets);
  return among.filter((pid) => socketsOf(pid)?.some((inode) => wanted.has(inode)));
}
