/**
 * Is a live socket bound to a file? connect(2) of a socket of another type: Linux looks the bound socket up by the file's
 * inode, finds that the types differ, and gives EPROTOTYPE (net/unix/af_unix.c, unix_find_bsd). No connection is made, and
 * no process notices.
 *
 * Another kernel may refuse a datagram socket whatever is bound: gVisor does, and gives EPROTOTYPE to a SOCK_SEQPACKET
 * socket. Files are removed and backends replaced on the strength of a refusal. So before the first refusal is believed,
 * the method is tried on a listening socket of our own. A bound socket answers without that.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, posix } from "node:path";
import { isNoFile } from "../../base/peer-errno.ts";
import { AF_UNIX, close, connect, lastErrno, SOCK_DGRAM, socket } from "../posix/libc.ts";
import { socketAddress } from "../posix/sockets/socket-address.ts";
import { SOCK_CLOEXEC, SOCK_NONBLOCK } from "./kernel/libc.ts";
import { listeners } from "./sockets.ts";
import { linuxSystem } from "./system.ts";

const SOCK_SEQPACKET = 5;

/** In the order in which they are tried. The second would connect to a listener of its own type, so it is not the first. */
const METHODS = [SOCK_DGRAM, SOCK_SEQPACKET] as const;
type Method = (typeof METHODS)[number];

/** What connect(2) of a socket of this type says: an errno, or undefined when it connects or cannot be tried. */
export type AskBound = (path: string, type: Method) => string | undefined;

/** connect(2): nothing is bound to the file, says a kernel whose method holds. No other errno does: files are removed for it. */
const REFUSED = "ECONNREFUSED";

/**
 * `Transport.isBound`: false for ECONNREFUSED, ENOENT and ENOTDIR of connect(2). What holds on this kernel is found out once for each probe, at the first refusal; where no method
 * holds, every file counts as bound.
 */
export function createBoundProbe(ask: AskBound = askKernel): (path: string) => boolean {
  let method: Method | "none" | undefined;
  return (path) => {
    const first = typeof method === "number" ? method : METHODS[0];
    const said = ask(path, first);
    if (said !== undefined && isNoFile(said)) return false;
    if (said !== REFUSED) return true;
    method ??= findMethod(ask, path);
    if (method === undefined || method === "none") return true;
    if (method === first) return false;
    const now = ask(path, method);
    return now !== REFUSED && (now === undefined || !isNoFile(now));
  };
}

/** One question; makes no connection unless a socket of this very type listens there. @throws BrokerError PATH_TOO_LONG, ENDPOINT_INVALID */
export function askKernel(path: string, type: Method): string | undefined {
  const address = socketAddress(linuxSystem, path);
  const fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return undefined;
  const errno = connect(fd, address, address.length) === 0 ? undefined : lastErrno();
  close(fd);
  return errno;
}

/** Undefined when it could not be tried now: no directory to bind in, no descriptors. */
function findMethod(ask: AskBound, path: string): Method | "none" | undefined {
  for (const directory of [tmpdir(), posix.dirname(path)]) {
    try {
      return tryIn(directory, ask);
    } catch {
      // Not there, not writable, or too long for an address.
    }
  }
  return undefined;
}

function tryIn(parent: string, ask: AskBound): Method | "none" | undefined {
  const directory = mkdtempSync(join(parent, "rpb-"));
  try {
    const path = join(directory, "s");
    const listener = listeners.listen(path);
    try {
      const said = METHODS.map((type) => ask(path, type));
      const at = said.indexOf("EPROTOTYPE");
      if (at >= 0) return METHODS[at];
      return said.includes(undefined) ? undefined : "none";
    } finally {
      listener.close();
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
