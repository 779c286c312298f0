/**
 * The descriptors that a process was started with. exec(2) passes on every one that is not close-on-exec: the lock that a
 * shell script holds, the pipe that another program reads to its end. A daemon that keeps one keeps it for ever.
 *
 * Which ones were inherited is not recorded anywhere, so they are told apart from the runtime's own:
 *
 *   not close-on-exec   inherited. All that Node 20, 22, 24 and 26 open at their start is close-on-exec.
 *   close-on-exec       either. Node marks what it inherits (uv_disable_stdio_inheritance: the numbers below 16 and those
 *                       that follow without a gap), so here the kind decides: of its own Node has anonymous inodes (epoll,
 *                       eventfd, io_uring), pipes of which it holds both ends, the null device, and what it was asked for
 *                       on its command line.
 */
import { closeSync, fstatSync, readdirSync, type Stats } from "node:fs";
import { AF_UNIX, closeRange, F_GETFD, F_GETFL, F_SETFD, FD_CLOEXEC, fcntl, SO_DOMAIN, socketOption } from "./libc.ts";

/** Descriptors behind the standard streams. */
const FIRST_FD = 3;
/**
 * The runtime takes the lowest free numbers, so behind a gap of this size nothing is its own. Only for where /proc cannot
 * be read.
 */
const GAP = 256;
/** Numbers that are tried one by one where neither /proc nor close_range(2) is to be had. */
const MAX_PROBED_FD = 65_536;
/** makedev(1, 3). */
const NULL_DEVICE = 0x103;
/** The part of a descriptor's flags that says how it was opened. */
const ACCESS_MODE = 3;
const O_RDONLY = 0;
const O_WRONLY = 1;
const O_RDWR = 2;

/**
 * Closes every inherited descriptor from 3 on except those in `told`, which become close-on-exec. Must run before this process
 * opens anything of its own: it could not be told apart. Never throws.
 */
export function closeInherited(told: readonly number[]): void {
  for (const fd of told) fcntl(fd, F_SETFD, FD_CLOEXEC);
  const open = openDescriptors(told).filter((fd) => !told.includes(fd));
  const marked = open.filter((fd) => {
    const flags = fcntl(fd, F_GETFD, 0);
    if (flags >= 0 && (flags & FD_CLOEXEC) === 0 && !isRuntimeLog(fd, statOf(fd))) close(fd);
    return flags >= 0 && (flags & FD_CLOEXEC) !== 0;
  });
  // A preloaded module has descriptors of any kind.
  if (runtimeWasTold(PRELOAD)) return;
  const pairs = pipesWithBothEnds(marked);
  for (const fd of marked) if (isForeign(fd, pairs)) close(fd);
}

const PRELOAD = /^(-r|--require|--import|--loader|--experimental-loader)/;
/** The files that V8 writes for these are not close-on-exec (Node 20 to 26). */
const RUNTIME_LOG = /^--(prof|log|perf|ll-prof|interpreted-frames|redirect-code|trace|gdb)/;

function runtimeWasTold(option: RegExp): boolean {
  const words = [...process.execArgv, ...(process.env.NODE_OPTIONS ?? "").split(/\s+/)];
  return words.some((word) => option.test(word.replaceAll("_", "-")));
}

/** One of those files, perhaps: V8 opens them to read and write, which a shell's `>` does not. */
function isRuntimeLog(fd: number, stats: Stats | undefined): boolean {
  return stats?.isFile() === true && accessMode(fd) === O_RDWR && runtimeWasTold(RUNTIME_LOG);
}

/** Of a kind that the runtime does not open by itself. */
function isForeign(fd: number, pairs: ReadonlySet<number>): boolean {
  const stats = statOf(fd);
  if (stats === undefined) return false;
  if (stats.isFIFO()) return !pairs.has(stats.ino);
  if (stats.isCharacterDevice()) return stats.rdev !== NULL_DEVICE;
  if (stats.isFile()) return !isRuntimeLog(fd, stats);
  if (stats.isSocket()) return socketOption(fd, SO_DOMAIN, 1)?.[0] === AF_UNIX || !isBeingDebugged();
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

/** Inodes of pipes of which exactly one reading and one writing end are among `fds`. */
function pipesWithBothEnds(fds: readonly number[]): ReadonlySet<number> {
  const ends = new Map<number, number[]>();
  for (const fd of fds) {
    const stats = statOf(fd);
    if (stats?.isFIFO()) ends.set(stats.ino, [...(ends.get(stats.ino) ?? []), accessMode(fd)]);
  }
  const isPair = (modes: number[]): boolean =>
    modes.length === 2 && modes.includes(O_RDONLY) && modes.includes(O_WRONLY);
  return new Set([...ends].filter(([, modes]) => isPair(modes)).map(([inode]) => inode));
}

/** Those from 3 on, in order. Where /proc cannot be read, what lies behind the runtime's own is closed by this. */
function openDescriptors(told: readonly number[]): number[] {
  try {
    return readdirSync("/proc/self/fd")
      .map(Number)
      .filter((fd) => fd >= FIRST_FD)
      .sort((a, b) => a - b);
  } catch {
    return probeDescriptors(told);
  }
}

function probeDescriptors(told: readonly number[]): number[] {
  const open: number[] = [];
  const isOpen = (fd: number): boolean => fcntl(fd, F_GETFD, 0) >= 0;
  let fd = FIRST_FD;
  for (let free = 0; free < GAP; fd++) {
    free = isOpen(fd) ? 0 : free + 1;
    if (free === 0) open.push(fd);
  }
  if (closeFrom(fd, told)) return open;
  for (; fd < MAX_PROBED_FD; fd++) if (isOpen(fd)) open.push(fd);
  return open;
}

/** Everything from `first` on but `told`. False where the system has no close_range(2). */
function closeFrom(first: number, told: readonly number[]): boolean {
  let from = first;
  for (const fd of [...told].filter((each) => each >= first).sort((a, b) => a - b)) {
    if (fd > from && closeRange(from, fd - 1) !== 0) return false;
    from = fd + 1;
  }
  return closeRange(from) === 0;
}

function accessMode(fd: number): number {
  return fcntl(fd, F_GETFL, 0) & ACCESS_MODE;
}

function statOf(fd: number): Stats | undefined {
  try {
    return fstatSync(fd);
  } catch {
    return undefined;
  }
}

function close(fd: number): void {
  try {
    closeSync(fd);
  } catch {
    // close(2): whatever it says, the descriptor is gone.
  }
}
