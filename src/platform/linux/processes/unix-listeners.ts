/** Who listens at a path, seen without connecting. */
import { posix } from "node:path";
import { listPids } from "./proc.ts";
import { LISTENING, readRelative, readUnixTable, socketsOf, type UnixSocket } from "./unix-table.ts";

/** @see Processes.listenersAt */
export function listenersAt(path: string, pid: number): readonly string[] | undefined {
  try {
    const named = readUnixTable([path], pid);
    const sockets = named.length > 0 ? named : boundElsewise(path, pid);
    return sockets.length === 0 ? undefined : sockets.filter(isListening).map(({ inode }) => inode);
  } catch {
    return undefined;
  }
}

/** A daemon that binds by a relative path is listed by that one. Only sockets that the process itself has open are believed. */
function boundElsewise(path: string, pid: number): UnixSocket[] {
  const held = new Set(socketsOf(pid));
  return held.size === 0 ? [] : readRelative(posix.basename(path), pid).filter(({ inode }) => held.has(inode));
}

function isListening({ flags }: { flags: number }): boolean {
  return (flags & LISTENING) !== 0;
}

/** @see Processes.holdersOf */
export function holdersOf(sockets: readonly string[], among: readonly number[] = listPids()): readonly number[] {
  const wanted = new Set(sockets);
  return among.filter((pid) => socketsOf(pid)?.some((inode) => wanted.has(inode)));
}
