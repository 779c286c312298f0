/**
 * What the rest of the package needs from the operating system, as interfaces. Modules take the parts they use
 * (`Pick<Platform, "clock" | "processes">`); `loadPlatform()` in platform/platform.ts supplies the real ones.
 *
 * Ownership: a function whose doc says "consumes" takes over what it is given, also when it throws; otherwise it
 * borrows. Every object with `close()` may be closed more than once.
 */
import type { Socket } from "node:net";
import type { Clock, Deadline } from "../base/clock.ts";
import type { MaybePromise } from "../base/maybe-promise.ts";
import type { ExitStatus } from "../model/exit-status.ts";
import type { FileStamp } from "../model/file-identity.ts";

export interface Platform {
  readonly clock: Clock;
  readonly transport: Transport;
  readonly processes: Processes;
  readonly files: Files;
  readonly locks: Locks;
  readonly host: Host;
}

// ---------------------------------------------------------------------------------------------------- transport

/** Who is at the other end, from the kernel (SO_PEERCRED), taken when the connection was made. */
export interface PeerCredentials {
  /** 0 when the kernel cannot name it (another pid namespace). */
  readonly pid: number;
  readonly uid: number;
  /** What policies compare: the decimal effective uid, on Windows `windows-sid:` and hex. */
  readonly identity: string;
}

export interface Transport {
  /**
   * Binds and listens: a close-on-exec stream socket whose file has mode 0600 from its first moment.
   * The path's directory must exist and nothing may be at the path.
   *
   * `blocking`: without O_NONBLOCK, for a process that is given it; `accept` is not for such a one. Default false.
   *
   * @throws BrokerError PATH_TOO_LONG, ENDPOINT_INVALID, IO_FAILED (`details.errno`, EADDRINUSE when something is there)
   */
  listen(path: string, options?: { backlog?: number; blocking?: boolean }): Listener;
  /**
   * Takes over an inherited listening descriptor: close-on-exec, and O_NONBLOCK, whichever process passed it. Consumes `fd`, but only when it is one: a
   * wrong number can belong to anybody in this process.
   *
   * @throws BrokerError LISTENER_INVALID when it is not a listening stream socket, IO_FAILED
   */
  adoptListener(fd: number): Listener;
  /**
   * Connects. A listener whose backlog is full is waited for until the deadline.
   *
   * @throws BrokerError PATH_TOO_LONG, ENDPOINT_INVALID, DEADLINE_EXCEEDED, IO_FAILED (ENOENT, ECONNREFUSED, …)
   */
  connect(path: string, deadline: Deadline): Promise<Connection>;
  /**
   * Is a live socket bound to the file at `path`, of any type, listening or not? Asks the kernel without connecting: no
   * process notices. False only when the kernel says that there is none (connect(2): ECONNREFUSED, ENOENT, ENOTDIR); want of
   * descriptors or rights says nothing. The first ECONNREFUSED is checked against a listening socket of our own; on a kernel
   * that refuses that one, too, every file counts as bound.
   *
   * @throws BrokerError PATH_TOO_LONG, ENDPOINT_INVALID
   */
  isBound(path: string): boolean;
  /**
   * A connected pair: one end for us, the other's descriptor (close-on-exec) for a child; the caller closes it.
   * `theirsBlocking`: default true.
   *
   * @throws BrokerError IO_FAILED
   */
  pair(options?: { theirsBlocking?: boolean }): { ours: Connection; theirs: number };
  /**
   * Takes over an inherited or received stream socket: close-on-exec, and O_NONBLOCK, whichever process passed it. Consumes `fd`, also on failure.
   *
   * @throws BrokerError ENDPOINT_INVALID when it is no stream socket
   */
  adoptConnection(fd: number): Connection;
  /**
   * Serves a listener with ordinary sockets, for code that brings its own protocol. Consumes the listener.
   * `close` stops accepting and resolves once the descriptor is closed; sockets already handed out live on.
   */
  serveSockets(listener: Listener, onSocket: (socket: Socket) => void): { close(): Promise<void> };
}

export interface Listener {
  readonly fd: number;
  /**
   * Starts to accept. Exactly one of the callbacks runs per event; neither may throw. `onConnection` consumes its
   * connection. `onError` gets accept failures; for EMFILE and ENFILE (`resource: true`) one waiting connection is
   * still accepted through a reserved descriptor and given along, so that its peer can be told.
   */
  accept(handlers: AcceptHandlers): void;
  /**
   * For one that was adopted: from now on the kernel names this process to peers, instead of the process that called listen(2) before.
   * Undefined, or the errno for which it does not. Never throws.
   */
  nameUs(): string | undefined;
  /** Stops accepting without closing; waiting peers stay in the backlog. */
  pause(): void;
  /** Gives the descriptor away; the listener must not be used afterwards. */
  takeFd(): number;
  /** Closes the descriptor. The socket file is the business of whoever created it. */
  close(): void;
}

export interface AcceptHandlers {
  /** `alone`: of late they come one at a time, and no other is taken in in this turn. */
  onConnection(connection: Connection, alone: boolean): void;
  onError(error: AcceptError): void;
}

export interface AcceptError {
  readonly errno: string;
  /** The process or system is out of descriptors. */
  readonly resource: boolean;
  /** The connection that hit the limit, accepted all the same; to be answered and closed. */
  readonly rejected?: Connection;
}

export interface ReceivedMessage {
  /** Shorter than asked for only at the end of the stream. */
  readonly bytes: Buffer;
  readonly descriptors: readonly number[];
}

/** Nothing is noticed while paused; what came meanwhile is noticed after that. */
export interface ReadableWatch {
  pause(): void;
  resume(): void;
}

/**
 * A connected stream. One read and one write may run at a time each. What can be done at once is done in the call
 * itself, failures included.
 */
export interface Connection {
  readonly fd: number;
  readonly peer: PeerCredentials;
  /**
   * Reads exactly `length` bytes and not one more from the kernel. Resolves with fewer only when the peer closed
   * before they came: then the result is what there was, possibly empty.
   *
   * @throws BrokerError DEADLINE_EXCEEDED, IO_FAILED (ECONNRESET, …)
   */
  readExactly(length: number, deadline: Deadline): MaybePromise<Buffer>;
  /** @throws BrokerError DEADLINE_EXCEEDED, IO_FAILED (EPIPE, ECONNRESET, …); some bytes may have been sent. */
  writeAll(bytes: Uint8Array, deadline: Deadline): MaybePromise<void>;
  /**
   * Sends `bytes` (at most 64 KiB) with a duplicate of `descriptor` riding on the first of them (SCM_RIGHTS): one
   * sendmsg(2) when there is room. Borrows the descriptor.
   *
   * @throws BrokerError DEADLINE_EXCEEDED (nothing was sent), IO_FAILED (EPIPE, ETOOMANYREFS, …: nothing was sent, but
   * with `details.check` `sent-in-part` the descriptor and some bytes were)
   */
  sendWithDescriptor(bytes: Uint8Array, descriptor: number, deadline: Deadline): MaybePromise<void>;
  /**
   * Like `readExactly`, and collects the descriptors that ride on these bytes. They become the caller's; when it
   * throws they are closed.
   */
  receiveExactly(length: number, deadline: Deadline): Promise<ReceivedMessage>;
  /**
   * Takes what is there at this moment, up to `maxBytes` (at most 64 KiB): empty at the end of the stream, undefined
   * when nothing is there.
   *
   * @throws BrokerError IO_FAILED
   */
  readNow(maxBytes: number): Buffer | undefined;
  /**
   * The same by one recvmsg(2), with the descriptors that ride on it, which become the caller's. The kernel never goes
   * past bytes on which descriptors ride (unix(7)), so they belong to the last message that was sent among these bytes.
   *
   * @throws as `readNow`
   */
  receiveNow(maxBytes: number): ReceivedMessage | undefined;
  /** Sends what there is room for at this moment: how many bytes. @throws BrokerError IO_FAILED */
  sendNow(bytes: Uint8Array): number;
  /**
   * Calls back whenever something can be taken with `readNow` or `receiveNow`, the end and a failure included, until
   * the connection is closed or released. For a connection that lives on messages: nothing else may wait to read from
   * it meanwhile. Keeps the process alive unless paused.
   */
  watchReadable(onReadable: () => void): ReadableWatch;
  /**
   * Up to `maxBytes`, at least one; empty when the peer closed.
   *
   * @throws as `readExactly`
   */
  readSome(maxBytes: number, deadline: Deadline): MaybePromise<Buffer>;
  /**
   * Sets whether O_NONBLOCK is off, for a process that is given a duplicate: the flag belongs to the open file description,
   * which all duplicates share. The operations of this object never block either way, and once this was called with true they
   * leave the flag alone. No effect on a closed connection.
   */
  setBlocking(blocking: boolean): void;
  /** shutdown(2) in both directions: ends the stream for every process that holds a duplicate. */
  shutdown(): void;
  /** A handle on the peer process that cannot be fooled by pid reuse (SO_PEERPIDFD); undefined where there is none. */
  openPeer(): ProcessHandle | undefined;
  /** Consumes the connection: the descriptor lives on in the socket. */
  release(): Socket;
  /** Ends pending reads and writes with IO_FAILED (ECONNABORTED). */
  close(): void;
}

// ---------------------------------------------------------------------------------------------------- processes

/** A process as the kernel shows it, read at one moment. */
export interface ProcessFacts {
  readonly pid: number;
  /** Start time in clock ticks since boot (field 22 of /proc/PID/stat): with the pid it names a process for good. */
  readonly startTime: bigint;
  /** Canonical path of the executable; ends in " (deleted)" once the file was replaced. */
  readonly exePath: string;
  readonly argv: readonly string[];
  readonly sessionId: number;
  readonly uid: number;
}

/** Holds on to one process (a pidfd), whatever becomes of its number. */
export interface ProcessHandle {
  readonly pid: number;
  isAlive(): boolean;
  /** Calls back once when the process ends, at once when it has. Does not keep our process alive. */
  onExit(callback: () => void): void;
  /** False when the process is gone. */
  signal(signal: NodeJS.Signals): boolean;
  close(): void;
}

export interface SpawnOptions {
  readonly file: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  /** Descriptor for stdout and stderr; borrowed. Default: the null device. */
  readonly outputFd?: number;
  /**
   * Descriptors the child gets as 3, 4, …; borrowed. Everything else of ours is closed in the child.
   */
  readonly inherit?: readonly number[];
}

/** A child in a session of its own. It is reaped by us and outlives us. */
export interface SpawnedProcess extends ProcessHandle {
  /** Undefined while it runs. */
  readonly exitStatus: ExitStatus | undefined;
}

/** This process. */
export interface OwnProcess {
  readonly selfPid: number;
  readonly selfUid: number;
  /** Canonical path of our own executable. @throws BrokerError PLATFORM_UNSUPPORTED without /proc, IO_FAILED */
  readonly selfExePath: string;
  /** Canonical path of the script the executable was given, when it is an interpreter that runs one. */
  readonly selfScriptPath: string | undefined;
  /**
   * Our interpreter, for a program of ours, and the arguments in front of its script: no debugger on SIGUSR1, where the
   * interpreter can be told so.
   *
   * @throws BrokerError PLATFORM_UNSUPPORTED without /proc and in a single executable, IO_FAILED
   */
  readonly selfNode: { readonly file: string; readonly args: readonly string[] };
  /** How this process was started, by the paths that were given: what is at them now may be a newer version. */
  readonly selfCommand: { readonly file: string; readonly args: readonly string[] };
  /** For what has to observe processes. @throws BrokerError PLATFORM_UNSUPPORTED when the system shows none, IO_FAILED */
  requireProc(): void;
}

export interface Processes extends OwnProcess {
  /**
   * Starts `file` detached: new session, stdin on the null device.
   *
   * @throws BrokerError SPAWN_FAILED with the errno.
   */
  spawn(options: SpawnOptions): Promise<SpawnedProcess>;
  /**
   * Like `spawn`, with stdout on a pipe until its first line or end is there; then the pipe is closed on our side.
   * `line` is undefined when the process closed its stdout first. On an error the child is killed.
   *
   * @throws BrokerError SPAWN_FAILED, DEADLINE_EXCEEDED
   */
  spawnAndAwaitLine(
    options: SpawnOptions,
    deadline: Deadline,
  ): Promise<{ child: SpawnedProcess; line: string | undefined }>;
  /** Undefined when there is no such process (a zombie counts as none) or it may not be looked at. */
  inspect(pid: number): ProcessFacts | undefined;
  /** Undefined when there is no such process. */
  open(pid: number): ProcessHandle | undefined;
  /**
   * Everything a launch has left running: members of the session `sessionId` and every process of ours whose
   * environment holds `marker` ("NAME=value"), except ourselves. Those that can be seen: none when the system shows no
   * processes or descriptors have run out. Never throws.
   */
  findDescendants(options: { sessionId: number; marker: string }): readonly ProcessHandle[];
  /**
   * Connections open to the listener at `path`, those in its backlog included, and those that the process `pid` has open
   * though they were accepted at `handedOverFrom`. Undefined when the listener cannot be seen from here: then nothing is
   * known. Reads a table of all sockets of the machine; not for every request.
   */
  countConnections(options: { path: string; pid: number; handedOverFrom: string }): number | undefined;
  /**
   * Inodes of the sockets that were bound to `path` and listen: empty when there are only others. Undefined when the process
   * `pid` cannot see any that was bound to it: another network namespace, or another spelling of the path, unless that is a
   * relative one whose socket `pid` has open itself. Reads a table of all
   * sockets of the machine; not for every request.
   */
  listenersAt(path: string, pid: number): readonly string[] | undefined;
  /**
   * Pids of the processes that have one of these sockets open, as far as they show it. `among`: default all, which reads the
   * descriptors of every process.
   */
  holdersOf(sockets: readonly string[], among?: readonly number[]): readonly number[];
}

// ---------------------------------------------------------------------------------------------------- files

export type FileKind = "file" | "directory" | "socket" | "link" | "other";

export interface FileFacts extends FileStamp {
  readonly kind: FileKind;
  readonly uid: number;
  /** Permission bits only. */
  readonly mode: number;
}

export interface ArchiveEntry {
  /** Relative, with "/" between names. */
  readonly path: string;
  readonly content: Uint8Array;
}

/** A file held open: whatever is renamed or put in its place meanwhile, it stays the same one. */
export interface OpenFile {
  /** @throws BrokerError IO_FAILED */
  facts(): FileFacts;
  /** False once no directory names it any more. */
  linked(): boolean;
  /** At most `maxBytes` from `position` on; empty at the end. @throws BrokerError IO_FAILED */
  read(position: number, maxBytes: number): Buffer;
  /**
   * One write(2), which the kernel puts behind whatever is there, whole (O_APPEND). Returns how much of it went in: less
   * than everything when room ran out on the way.
   *
   * @throws BrokerError IO_FAILED (ENOSPC, EDQUOT, EFBIG, …)
   */
  append(bytes: Uint8Array): number;
  close(): void;
}

/** A log that other processes append to through a descriptor they inherit. It stays the same file, whatever is put at its path. */
export interface LogFile {
  /** Lent, for a child's stdout and stderr. For reading and appending. */
  readonly fd: number;
  /** Of the open file. @throws BrokerError IO_FAILED */
  size(): number;
  /** @throws BrokerError IO_FAILED (ENOSPC, …); some of it may have been written */
  append(text: string): void;
  /** What is written from here on, by anybody, is what `words` tells. Until the first call: all there is. */
  mark(): void;
  /**
   * The last words since the mark: at most `maxBytes`, whole lines if one ends in them, also of what has been rotated
   * meanwhile (up to 4 KiB of it). Empty once closed.
   *
   * @throws BrokerError IO_FAILED
   */
  words(maxBytes: number): string;
  /**
   * Empties the file, after copying at most its last `keepBytes` to `PATH.1`, which is replaced. Neither file is beyond
   * `keepBytes` then, nothing is dropped when the writer pauses and the file has at most `keepBytes`, and each place where
   * bytes are missing has a line `[rpb: N bytes dropped]`. Done in slices beside the event loop; calls during a rotation
   * join it. Once closed it does nothing. Never rejects.
   */
  rotate(keepBytes: number): Promise<LogRotation>;
  /** Calls back when the open file changes, until closed. Undefined where it cannot be watched. */
  watch(onChange: () => void): { close(): void } | undefined;
  /** Closes the descriptor, at the end of a rotation that is under way, which stops where it is. */
  close(): void;
}

export interface LogRotation {
  /** In neither file now. What a writer adds between two system calls may be missing from the count. */
  readonly droppedBytes: number;
  /** False: the file cannot be emptied, and `fault` says why (EPERM of an append-only file, see chattr(1)), or the log is closed. */
  readonly emptied: boolean;
  /** Why there is no older file now: ENOSPC, something else at its path. */
  readonly fault?: unknown;
}

export interface Files {
  /** lstat; undefined when nothing is there. @throws BrokerError IO_FAILED */
  facts(path: string): FileFacts | undefined;
  /** Resolves links. @throws BrokerError IO_FAILED (ENOENT, EACCES, ELOOP, …) */
  realpath(path: string): string;
  /** May we execute it? Undefined when yes, else the errno. */
  executableFault(path: string): string | undefined;
  /**
   * A whole regular file of ours, with the stamp of what was read; undefined when nothing is there.
   *
   * @throws BrokerError FILE_INSECURE (not a regular file, or not owned by us or root), IO_FAILED (EFBIG above `maxBytes`)
   */
  read(path: string, maxBytes: number): { bytes: Buffer; stamp: FileStamp } | undefined;
  /** Names in a directory, sorted; empty when it does not exist. @throws BrokerError IO_FAILED */
  list(directory: string): readonly string[];
  /** Creates or replaces `path` as a whole: temporary file, fsync, rename, fsync of the directory. Mode 0600. @throws BrokerError IO_FAILED */
  writeAtomic(path: string, bytes: Uint8Array): void;
  /** Removes the temporary files of `writeAtomic` whose writer was killed, as far as it can. Returns how many there were. */
  sweepTemporaries(directory: string): number;
  /** The bytes of a gzipped tar archive with these files, all of mode 0600. @throws BrokerError IO_FAILED */
  packTarGz(entries: readonly ArchiveEntry[], modifiedUnixMs: number): Promise<Buffer>;
  /** True when something was removed. @throws BrokerError IO_FAILED unless the file was not there. */
  remove(path: string): boolean;
  /**
   * Creates `path` and missing parents with mode 0700, whatever the umask, and verifies it: a real directory (no link),
   * ours, closed to others. Never repairs an existing one. Creates nothing in a directory of another user, unless it is a
   * sticky one of root's.
   *
   * @throws BrokerError DIRECTORY_INSECURE (`details.path`, `details.check`: owner, mode, link, kind; `details.owner`),
   * IO_FAILED
   */
  ensurePrivateDirectory(path: string): void;
  /** The checks of `ensurePrivateDirectory` without creating; false when nothing is there. */
  checkPrivateDirectory(path: string): boolean;
  /**
   * May a socket in `path` be connected to? It must be ours or root's, and not writable by other users unless sticky, and so
   * must be what leads to it below a directory that everybody may write to. False when nothing is there. What was found
   * good once is not checked again, unless `again` says so.
   *
   * @throws BrokerError DIRECTORY_INSECURE, IO_FAILED
   */
  checkConnectDirectory(path: string, options?: { readonly again?: boolean }): boolean;
  /** A symbolic link at `path`; one that is there already stays. @throws BrokerError IO_FAILED */
  symlink(target: string, path: string): void;
  /** Removes a directory if it is empty. Returns whether it did; never throws. */
  removeEmptyDirectory(path: string): boolean;
  /**
   * Hash of an executable's bytes (32 bytes), cached by device, inode, modification time and size. Concurrent calls for
   * one content share one reading, which gives the event loop its turns.
   *
   * @throws BrokerError IO_FAILED
   */
  sha256Executable(path: string): Promise<Buffer>;
  /** The same with BLAKE3, which costs three times as much. */
  blake3Executable(path: string): Promise<Buffer>;
  /** The first line of a `#!` script without the marker, trimmed; undefined for any other file. @throws BrokerError IO_FAILED */
  interpreterLine(path: string): string | undefined;
  /**
   * Opens a log, creating it, and gives it mode 0600. What is there must be a regular file of ours; links are not followed,
   * and a FIFO is not waited for. Close-on-exec. The caller closes it.
   *
   * @throws BrokerError FILE_INSECURE, IO_FAILED (ENOSPC, EMFILE, …)
   */
  openLog(path: string): LogFile;
  /** The descriptor is gone afterwards; what close(2) has to say about it is dropped. */
  closeFd(fd: number): void;
  /**
   * A regular file of ours or root's; links are not followed. `append` creates it with mode 0600, `read` gives undefined
   * when nothing is there. Close-on-exec.
   *
   * @throws BrokerError FILE_INSECURE, IO_FAILED
   */
  open(path: string, mode: "append"): OpenFile;
  open(path: string, mode: "read"): OpenFile | undefined;
  /** Replaces what is at `to`. @throws BrokerError IO_FAILED */
  rename(from: string, to: string): void;
  /**
   * Calls back when the file changes, until closed; once more when the system stops telling, which ends the watch. Does not
   * keep the process alive. Undefined where it cannot be watched.
   */
  watch(path: string, onChange: () => void): { close(): void } | undefined;
  /** Counts what happens in a directory and to it, whether it is there or not. The caller closes it. */
  changeCounter(directory: string): ChangeCounter;
}

/**
 * Spares looks at files: what was seen after a call of `value` still holds as long as calls return the same number.
 * For what the system does not tell (a directory further up was moved, another machine wrote to a file system shared with it)
 * the number changes every 100 ms.
 */
export interface ChangeCounter {
  /** Nothing that happened before the call is missed. NaN, which equals nothing, where nothing is known, and once closed. */
  value(): number;
  close(): void;
}

// ---------------------------------------------------------------------------------------------------- locks

/** An exclusive advisory lock on a file (flock), gone with the process that holds it. */
export interface FileLock {
  readonly path: string;
  /** The lock belongs to the open file: a process that is given a duplicate holds it, too. */
  readonly fd: number;
  /** Does its path still lead to it? A lock whose file was removed keeps no process away. @throws BrokerError IO_FAILED */
  isCurrent(): boolean;
  /** Text in the lock file, for people who look; empty until set, and where there is no room for it. Never throws. */
  describe(text: string): void;
  /** Removes the file, when it still is the one that was locked, and lets go. Never throws: a file that stays is no lock. */
  release(): void;
  /** Closes the descriptor only: for another process that has a duplicate the lock goes on. Never throws. */
  abandon(): void;
}

export interface Locks {
  /**
   * Undefined when somebody else holds it. A file that was unlinked or replaced between open and lock is retried.
   *
   * @throws BrokerError IO_FAILED, FILE_INSECURE
   */
  tryAcquire(path: string): FileLock | undefined;
  /**
   * A lock that another process holds and gave us a duplicate of. Consumes `fd`, also on failure.
   *
   * @throws BrokerError FILE_INSECURE (not a lock file of ours, or somebody else holds it), IO_FAILED
   */
  adopt(fd: number, path: string): FileLock;
  /** Waits for a lock. @throws BrokerError DEADLINE_EXCEEDED, IO_FAILED, FILE_INSECURE */
  acquire(path: string, deadline: Deadline): Promise<FileLock>;
}

// ---------------------------------------------------------------------------------------------------- host

export interface Host {
  readonly os: "linux" | "darwin" | "win32";
  /** Root, or LocalSystem on Windows. */
  isPrivileged(): boolean;
  /** 16 hex digits naming this user on this machine (spec names §1). @throws BrokerError IO_FAILED without a machine id */
  userHash(): string;
  bootId(): string;
  machineId(): string;
  hostname(): string;
  randomBytes(length: number): Buffer;
  /** Percent of inodes used and so on for `status`; undefined where the file system does not count them. */
  inodeUsage(path: string): { total: bigint; free: bigint } | undefined;
  /** Soft limit of open descriptors and how many are open. */
  descriptorUsage(): { open: number; limit: number };
}

/** A process's environment variables, as given to every module that needs some. */
export type Env = Readonly<Record<string, string | undefined>>;
