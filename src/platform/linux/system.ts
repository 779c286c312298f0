/** Sockets as Linux has them (unix(7), socket(7)), for posix/. */
import { chmodSync, lstatSync, unlinkSync } from "node:fs";
import type { DisposalStack } from "../../base/disposal-stack.ts";
import { attempt, ioFailed } from "../errno.ts";
import type { PeerCredentials, ProcessHandle } from "../ports/index.ts";
import { AF_UNIX, bind, fchmod, lastErrno, SOCK_STREAM, socket, socketpair } from "../posix/libc.ts";
import type { MessageLayout, PosixSystem } from "../posix/sockets/system.ts";
import { ownerOf } from "../posix/user.ts";
import {
  accept4,
  MSG_CMSG_CLOEXEC,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  SO_ACCEPTCONN,
  SO_PEERCRED,
  SO_PEERPIDFD,
  SO_TYPE,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOL_SOCKET,
  socketLevelOption,
} from "./kernel/libc.ts";
import { createProcessHandle } from "./processes/process-handle.ts";
import { onceReadyAside } from "./readiness-aside.ts";

const SOCKET_MODE = 0o600;

/**
 *     msghdr { name, namelen, iov, iovlen, control, controllen, flags }   56 bytes on every 64-bit Linux
 *     cmsghdr{ len, level, type } + descriptors                            16 + 4 each, rounded up to 8
 */
const MESSAGES: MessageLayout = {
  header: { bytes: 56, parts: 16, partCount: 24, control: 32, controlLength: 40, flags: 48 },
  control: { bytes: 16, level: 8, type: 12 },
  socketLevel: SOL_SOCKET,
  sentControlBytes: 24,
  // Room for more than the one that is expected: the rest would be lost silently (MSG_CTRUNC) instead of refused.
  maxDescriptors: 8,
};

export const linuxSystem: PosixSystem = {
  os: "linux",
  flags: {
    send: MSG_NOSIGNAL | MSG_DONTWAIT,
    receive: MSG_DONTWAIT,
    receiveMessage: MSG_CMSG_CLOEXEC | MSG_DONTWAIT,
  },
  messages: MESSAGES,
  // The family has two bytes; those of a small number are the same in every sockaddr_un.
  addressHead: () => [AF_UNIX, 0],
  newSocket: (nonBlocking) => socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | (nonBlocking ? SOCK_NONBLOCK : 0), 0),
  newPair,
  acceptOne: (listener) => accept4(listener, null, null, SOCK_CLOEXEC),
  privateBind,
  socketType: (fd) => socketLevelOption(fd, SO_TYPE, 1)?.[0],
  isListening: (fd) => socketLevelOption(fd, SO_ACCEPTCONN, 1)?.[0] === 1,
  // unix(7): there is nothing to poll for.
  isBacklogFull: (errno) => errno === "EAGAIN",
  peerOf,
  openPeer,
  onceReadyAside,
};

function newPair(): readonly [number, number] {
  const fds = Buffer.alloc(8);
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) !== 0) throw ioFailed("socketpair", lastErrno());
  return [fds.readInt32LE(0), fds.readInt32LE(4)];
}

/**
 * The file's mode is never wider than 0600, because bind(2) takes it from the socket's own inode, which fchmod(2) has set
 * before, and from the umask (net/unix/af_unix.c, unix_bind_bsd); what the umask took is given back before the first client
 * can connect.
 */
function privateBind(
  held: DisposalStack,
  { fd, path, address }: { readonly fd: number; readonly path: string; readonly address: Buffer },
): void {
  if (fchmod(fd, SOCKET_MODE) !== 0) throw ioFailed("fchmod", lastErrno(), path);
  if (bind(fd, address, address.length) !== 0) throw ioFailed("bind", lastErrno(), path);
  held.defer(() => unlinkSync(path));
  attempt(path, () => giveMode(path));
}

function giveMode(path: string): void {
  const facts = lstatSync(path, { throwIfNoEntry: false });
  if (facts?.isSocket() && (facts.mode & 0o777) !== SOCKET_MODE) chmodSync(path, SOCKET_MODE);
}

/** SO_PEERCRED: taken when the connection was made. The pid is 0 when the kernel cannot name it (another pid namespace). */
function peerOf(fd: number): PeerCredentials {
  const words = socketLevelOption(fd, SO_PEERCRED, 3);
  if (words === undefined) throw ioFailed("getsockopt SO_PEERCRED", lastErrno());
  const [pid = 0, uid = -1] = words;
  return { pid, owner: ownerOf(uid), identity: String(uid >>> 0) };
}

function openPeer(fd: number, pid: number): ProcessHandle | undefined {
  const pidfd = socketLevelOption(fd, SO_PEERPIDFD, 1)?.[0];
  return pidfd === undefined ? undefined : createProcessHandle(pid, pidfd);
}
