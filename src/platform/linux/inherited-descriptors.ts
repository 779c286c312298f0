/**
 * The descriptors that a process was started with. exec(2) passes on every one that is not close-on-exec: the lock that a
 * shell script holds, the pipe that another program reads to its end. A daemon that keeps one keeps it for ever.
 *
 * Which ones were inherited is not recorded anywhere, so they are told apart from the runtime's own:
 *
 *   not close-on-exec   inherited. All that Node 20, 22, 24 and 26 open at their start is close-on-exec.
 *   close-on-exec       either. Node marks what it inherits (uv_disable_stdio_inheritance: the numbers below 16 and those
 *                       that follow without a gap), so here the kind decides: of its own Node has anonymous inodes (epoll,
 *                       eventfd, io_uring), pipes of which it holds both ends and that are no older than the process, the
 *                       null device, and what it was asked for on its command line.
 *
 * That is true in the first tick only: a warning (of the permission model, of certificates), which Node prints in the next one,
 * opens the terminal anew. So all of this is synchronous, and reads /proc instead of loading native code, which would cost every
 * command its time.
 */
import { closeSync, fstatSync, readdirSync, readFileSync, type Stats, statSync } from "node:fs";
import { isModulePreloaded, runtimeWasTold } from "../node/runtime-options.ts";

interface Descriptor {
  readonly fd: number;
  /** As of open(2), O_CLOEXEC included. */
  readonly flags: number;
  readonly stats: Stats;
}

/** The first behind the standard streams. */
const FIRST_FD = 3;
/** makedev(1, 3). */
const NULL_DEVICE = 0x103;
const O_CLOEXEC = 0o2000000;
const ACCESS_MODE = 3;
const O_RDONLY = 0;
const O_WRONLY = 1;
const O_RDWR = 2;

/**
 * Closes every inherited descriptor from 3 on except those in `told` and the channel of a parent that is Node. For a process
 * that is a daemon of its own, as its very first work; never for one that this code is a guest in. What lies in /proc/self must
 * be readable, or nothing is closed: no broker starts without it. Never throws.
 */
export function closeInherited(told: readonly number[]): void {
  const channel = parentChannelFd();
  const open = openDescriptors().filter(({ fd }) => fd !== channel && !told.includes(fd));
  const marked = open.filter(({ flags }) => (flags & O_CLOEXEC) !== 0);
  for (const each of open) if (!marked.includes(each) && !isRuntimeLog(each)) close(each.fd);
  // Code that ran first has descriptors of any kind.
  if (isModulePreloaded() || isLibraryPreloaded()) return;
  const pipes = runtimePipes(marked);
  for (const each of marked) if (isForeign(each, pipes)) close(each.fd);
}

/** Its variable, NODE_CHANNEL_FD, is gone by the time that a program runs. */
function parentChannelFd(): number | undefined {
  const { fd } = (process.channel ?? {}) as { fd?: unknown };
  return typeof fd === "number" && fd >= 0 ? fd : undefined;
}

function openDescriptors(): Descriptor[] {
  try {
    return readdirSync("/proc/self/fd")
      .map(Number)
      .filter((fd) => fd >= FIRST_FD)
      .flatMap(describe);
  } catch {
    return [];
  }
}

/** Nothing for the descriptor that the list itself was read by. */
function describe(fd: number): Descriptor[] {
  try {
    const flags = /^flags:\s*([0-7]+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "latin1"))?.[1];
    return flags === undefined ? [] : [{ fd, flags: Number.parseInt(flags, 8), stats: fstatSync(fd) }];
  } catch {
    return [];
  }
}

/** One that the dynamic linker was told to load first (ld.so(8)). */
function isLibraryPreloaded(): boolean {
  const { LD_PRELOAD, LD_AUDIT } = process.env;
  try {
    return Boolean(LD_PRELOAD) || Boolean(LD_AUDIT) || (statSync("/etc/ld.so.preload", QUIET)?.size ?? 0) > 0;
  } catch {
    return true;
  }
}

const QUIET = { throwIfNoEntry: false } as const;

/** The files that V8 writes for these are not close-on-exec (Node 20 to 26). */
const RUNTIME_LOG = /^--(prof|log|perf|ll-prof|interpreted-frames|redirect-code|trace|gdb)/;

/** One of those files, perhaps: V8 opens them to read and write, which a shell's `>` does not. */
function isRuntimeLog({ flags, stats }: Descriptor): boolean {
  return stats.isFile() && (flags & ACCESS_MODE) === O_RDWR && runtimeWasTold(RUNTIME_LOG);
}

/** Of a kind that the runtime does not open by itself. */
function isForeign(each: Descriptor, pipes: ReadonlySet<number>): boolean {
  const { stats } = each;
  if (stats.isFIFO()) return !pipes.has(stats.ino);
  if (stats.isCharacterDevice()) return stats.rdev !== NULL_DEVICE;
  if (stats.isFile()) return !isRuntimeLog(each);
  if (stats.isSocket()) return !isBeingDebugged() || !isTcp(stats.ino);
  return stats.isDirectory() || stats.isBlockDevice();
}

/** A debugger listens on a TCP socket, and may be connected. */
function isBeingDebugged(): boolean {
  try {
    return process.getBuiltinModule("node:inspector").url() !== undefined;
  } catch {
    return false;
  }
}

/** By the tables of this network namespace (proc_net(5)), in which the tenth field is the inode. True where there are none. */
function isTcp(inode: number): boolean {
  const tables = ["tcp", "tcp6"].map((name) => {
    try {
      return readFileSync(`/proc/self/net/${name}`, "latin1");
    } catch {
      return undefined;
    }
  });
  const lines = tables.flatMap((table) => table?.split("\n") ?? []);
  return (
    tables.every((table) => table === undefined) || lines.some((line) => line.trim().split(/\s+/)[9] === `${inode}`)
  );
}

/** How much earlier than the process, by the clock of the file system, which ticks every 1 to 10 ms, one of its pipes can seem to be. */
const SLACK_MS = 100;

/**
 * Inodes of the pipes that the runtime has made: exactly one reading and one writing end are among `descriptors`, and the time of its
 * creation, or of its last reading or writing if that is all that is left to see, is not before the start of this process. It always
 * has one, so if none is young enough the clock was set, and all count.
 */
function runtimePipes(descriptors: readonly Descriptor[]): ReadonlySet<number> {
  const ends = new Map<number, Descriptor[]>();
  for (const each of descriptors)
    if (each.stats.isFIFO()) ends.set(each.stats.ino, [...(ends.get(each.stats.ino) ?? []), each]);
  const pairs = [...ends.values()].filter(isPair).map(([end]) => (end as Descriptor).stats);
  const young = pairs.filter(
    ({ atimeMs, mtimeMs, ctimeMs }) => Math.min(atimeMs, mtimeMs, ctimeMs) >= performance.timeOrigin - SLACK_MS,
  );
  return new Set((young.length > 0 ? young : pairs).map(({ ino }) => ino));
}

function isPair(ends: readonly Descriptor[]): boolean {
  const modes = ends.map(({ flags }) => flags & ACCESS_MODE);
  return modes.length === 2 && modes.includes(O_RDONLY) && modes.includes(O_WRONLY);
}

function close(fd: number): void {
  try {
    closeSync(fd);
  } catch {
    // close(2): whatever it says, the descriptor is gone.
  }
}
