/**
 * lstat(2) as FileFacts, by statx(2) into one block of memory. A broker asks for a directory, a definition and a socket
 * with every Hello, and Node's way through stat objects and dates costs several times the system call.
 */

import { ioFailed } from "../errno.ts";
import type { FileFacts, FileKind } from "../ports/index.ts";
import { lastErrno } from "../posix/libc.ts";
import { ownerOf } from "../posix/user.ts";
import { statx } from "./kernel/libc.ts";

const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
/** Type, mode, uid, modification time, inode, size. */
const STATX_WANTED = 0x0001 | 0x0002 | 0x0008 | 0x0040 | 0x0100 | 0x0200;
const STATX_BYTES = 256;

/** struct statx (statx(2)), the same on every architecture. */
const UID = 20;
const MODE = 28;
const INO = 32;
const SIZE = 40;
const MTIME_SEC = 112;
const MTIME_NSEC = 120;
const DEV_MAJOR = 136;
const DEV_MINOR = 140;

const S_IFMT = 0o170000;
const KINDS: ReadonlyMap<number, FileKind> = new Map([
  [0o100000, "file"],
  [0o040000, "directory"],
  [0o140000, "socket"],
  [0o120000, "link"],
]);
const NANOSECONDS = 1_000_000_000n;

const block = Buffer.alloc(STATX_BYTES);

/** @see Files.facts */
export function fileFacts(path: string): FileFacts | undefined {
  // The kernel would look at what is in front of it.
  if (path.includes("\0")) throw ioFailed("statx", "EINVAL", path);
  if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_WANTED, block) !== 0) {
    const errno = lastErrno();
    if (errno === "ENOENT") return undefined;
    throw ioFailed("statx", errno, path);
  }
  const mode = block.readUInt16LE(MODE);
  return {
    dev: deviceNumber(block.readUInt32LE(DEV_MAJOR), block.readUInt32LE(DEV_MINOR)),
    ino: block.readBigUInt64LE(INO),
    mtimeNs: block.readBigInt64LE(MTIME_SEC) * NANOSECONDS + BigInt(block.readUInt32LE(MTIME_NSEC)),
    size: block.readBigUInt64LE(SIZE),
    kind: KINDS.get(mode & S_IFMT) ?? "other",
    owner: ownerOf(block.readUInt32LE(UID)),
    mode: mode & 0o7777,
  };
}

/** As stat(2) gives it (glibc's gnu_dev_makedev), so that it compares with what fstat says of an open file. */
function deviceNumber(major: number, minor: number): bigint {
  const low = ((major & 0xfff) << 8) | (minor & 0xff);
  const high = (BigInt(major & ~0xfff) << 32n) | (BigInt(minor & ~0xff) << 12n);
  return high | BigInt(low);
}
