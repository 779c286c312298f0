/**
 * The kernel's table of Unix sockets, /proc/net/unix (unix(7), net/unix/af_unix.c unix_seq_show), and who has one open. It holds the
 * sockets of one network namespace, each with the path that it was bound by, also after the file was unlinked:
 *
 *     Num: RefCount Protocol Flags Type St Inode Path
 *
 * Kernel and this file go through all of it: a millisecond for some thousand sockets, so nothing for every request.
 */
import { readdirSync, readlinkSync } from "node:fs";
import { readProcFile } from "./proc-file.ts";

/** In `flags`: it listens (linux/net.h, __SO_ACCEPTCON). */
export const LISTENING = 0x10000;

export interface UnixSocket {
  readonly flags: number;
  /** linux/net.h, socket_state. */
  readonly state: number;
  readonly inode: string;
  readonly path: string;
}

const COLUMNS = /(?:^|\n)\S+: \S+ \S+ (\S+) \S+ (\S+) +(\d+)$/;
const ROW = /^\S+: \S+ \S+ \S+ \S+ \S+ +\d+ (.+)$/;
/** More than all columns before the path. */
const COLUMNS_BYTES = 128;

/** Rows with one of these paths, as `pid` sees the table; default: as we do. @throws as node:fs does */
export function readUnixTable(paths: readonly string[], pid?: number): UnixSocket[] {
  const text = readProcFile(pid === undefined ? "/proc/net/unix" : `/proc/${pid}/net/unix`).toString("latin1");
  return [...new Set(paths)].flatMap((path) => rowsOf(text, path));
}

/** Rows whose path is relative and has `leaf` as its last part, as `pid` sees the table. @throws as node:fs does */
export function readRelative(leaf: string, pid: number): UnixSocket[] {
  const name = Buffer.from(leaf).toString("latin1");
  const lines = readProcFile(`/proc/${pid}/net/unix`).toString("latin1").split("\n");
  return lines.flatMap((line) => {
    const path = ROW.exec(line)?.[1] ?? "/";
    return !path.startsWith("/") && (path === name || path.endsWith(`/${name}`))
      ? rowsOf(`${line}\n`, Buffer.from(path, "latin1").toString())
      : [];
  });
}

/** A path may hold blanks and line ends, which the kernel writes as they are: it is searched for as a whole. */
function rowsOf(text: string, path: string): UnixSocket[] {
  const rows: UnixSocket[] = [];
  // The table is bytes, so the path must be, too.
  const wanted = ` ${Buffer.from(path).toString("latin1")}\n`;
  for (let at = text.indexOf(wanted); at >= 0; at = text.indexOf(wanted, at + 1)) {
    const columns = COLUMNS.exec(text.slice(Math.max(0, at - COLUMNS_BYTES), at));
    if (columns === null) continue;
    const [, flags = "", state = "", inode = ""] = columns;
    rows.push({ flags: Number.parseInt(flags, 16), state: Number.parseInt(state, 16), inode, path });
  }
  return rows;
}

/** Inodes of the sockets that a process has open; undefined when it does not show. */
export function socketsOf(pid: number): string[] | undefined {
  try {
    return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      try {
        return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1] ?? [];
      } catch {
        return [];
      }
    });
  } catch {
    return undefined;
  }
}
