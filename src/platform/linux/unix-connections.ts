/**
 * Counting the connections of another process, from /proc/net/unix (proc(5), unix(7)). A socket that was accepted bears
 * the path of its listener, also after the file was unlinked, and so does one that waits in the backlog (its inode is 0
 * until it is accepted). That holds whoever accepted it, so a connection that was handed over bears the path of whoever
 * accepted it first and is told apart by who has it open.
 */
import { readdirSync, readlinkSync } from "node:fs";
import { readProcFile } from "./proc-file.ts";

const LISTENING = 0x10000;
/** net.h: SS_CONNECTING is a peer in the backlog, SS_CONNECTED one that was accepted. */
const OPEN_STATES = new Set([2, 3]);

interface UnixSocket {
  readonly flags: number;
  readonly state: number;
  readonly inode: string;
  readonly path: string;
}

/** @see Processes.countConnections */
export function countConnections(options: { path: string; pid: number; handedOverFrom: string }): number | undefined {
  let listed: readonly UnixSocket[];
  try {
    listed = parse(readProcFile("/proc/net/unix").toString("latin1"), [options.path, options.handedOverFrom]);
  } catch {
    return undefined;
  }
  const path = asListed(options.path);
  // Another network namespace, or bound under another spelling: what is not seen cannot be counted.
  if (!listed.some((socket) => socket.path === path && (socket.flags & LISTENING) !== 0)) return undefined;
  const open = listed.filter(({ flags, state }) => (flags & LISTENING) === 0 && OPEN_STATES.has(state));
  const dialled = open.filter((socket) => socket.path === path).length;
  const foreign = new Set(open.filter((socket) => socket.path !== path).map((socket) => socket.inode));
  if (foreign.size === 0) return dialled;
  const held = socketsOf(options.pid);
  if (held === undefined) return undefined;
  return dialled + held.filter((inode) => foreign.has(inode)).length;
}

function parse(text: string, paths: readonly string[]): UnixSocket[] {
  const wanted = new Set(paths.map(asListed));
  return text.split("\n").flatMap((line) => {
    const match = /^\S+: \S+ \S+ (\S+) \S+ (\S+) +(\d+) (.*)$/.exec(line);
    if (match === null || !wanted.has(match[4] as string)) return [];
    const [, flags = "", state = "", inode = "", path = ""] = match;
    return [{ flags: Number.parseInt(flags, 16), state: Number.parseInt(state, 16), inode, path }];
  });
}

/** The file is read byte by byte, so a path must be too. */
function asListed(path: string): string {
  return Buffer.from(path).toString("latin1");
}

/** Inodes of the sockets that a process has open. */
function socketsOf(pid: number): string[] | undefined {
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
