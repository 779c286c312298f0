/**
 * Counting the connections of another process, from /proc/net/unix (proc(5), unix(7)). A socket that was accepted bears
 * the path of its listener, also after the file was unlinked, and so does one that waits in the backlog (its inode is 0
 * until it is accepted). That holds whoever accepted it, so a connection that was handed over bears the path of whoever
 * accepted it first and is told apart by who has it open.
 */
import { LISTENING, readUnixTable, socketsOf, type UnixSocket } from "./unix-table.ts";

/** net.h: SS_CONNECTING is a peer in the backlog, SS_CONNECTED one that was accepted. */
const OPEN_STATES = new Set([2, 3]);

/** @see Processes.countConnections */
export function countConnections(options: { path: string; pid: number; handedOverFrom: string }): number | undefined {
  let listed: readonly UnixSocket[];
  try {
    listed = readUnixTable([options.path, options.handedOverFrom]);
  } catch {
    return undefined;
  }
  const { path } = options;
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
