/** Processes: this one, those it starts, and what can be seen of others. */
import type { Deadline } from "../../base/clock.ts";
import type { ExitStatus } from "../../model/exit-status.ts";
import type { Received, Transferable } from "./passing.ts";
import type { Owned } from "./user.ts";

/** A process as the kernel shows it, read at one moment. */
export interface ProcessFacts extends Owned {
  readonly pid: number;
  /** When it started, in the system's own terms: with the pid it names a process for good. Compared for equality only. */
  readonly startToken: string;
  /** Canonical path of the executable, as it was when the process was started. */
  readonly exePath: string;
  /** The file that was executed is not at `exePath` any more: removed or replaced. */
  readonly exeReplaced: boolean;
  readonly argv: readonly string[];
  readonly sessionId: number;
}

/** Holds on to one process, whatever becomes of its number. */
export interface ProcessHandle {
  readonly pid: number;
  isAlive(): boolean;
  /** Calls back once when the process ends, at once when it has. Does not keep our process alive. */
  onExit(callback: () => void): void;
  /** Asks it to end, which it may do in its own time or not at all (SIGTERM). False when the process is gone. */
  askToEnd(): boolean;
  /** Ends it (SIGKILL). False when the process is gone. */
  kill(): boolean;
  close(): void;
}

export interface SpawnOptions {
  readonly file: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  /** For stdout and stderr. Default: the null device. */
  readonly output?: Transferable;
  /** What the child gets besides; it knows each by its `numberInChild`. Nothing else of ours is open in the child. */
  readonly inherit?: readonly Transferable[];
}

/** A child in a session of its own. It is reaped by us and outlives us. */
export interface SpawnedProcess extends ProcessHandle {
  /** Undefined while it runs. */
  readonly exitStatus: ExitStatus | undefined;
}

/** This process. */
export interface OwnProcess {
  readonly selfPid: number;
  /** Canonical path of our own executable. @throws BrokerError PLATFORM_UNSUPPORTED when the system does not tell, IO_FAILED */
  readonly selfExePath: string;
  /** Canonical path of the script the executable was given, when it is an interpreter that runs one. */
  readonly selfScriptPath: string | undefined;
  /**
   * Our interpreter, for a program of ours, and the arguments in front of its script: no debugger on SIGUSR1, where the
   * interpreter can be told so.
   *
   * @throws BrokerError PLATFORM_UNSUPPORTED when the system does not tell, and in a single executable, IO_FAILED
   */
  readonly selfNode: { readonly file: string; readonly args: readonly string[] };
  /** How this process was started, by the paths that were given: what is at them now may be a newer version. */
  readonly selfCommand: { readonly file: string; readonly args: readonly string[] };
  /** What this process has open under this number: a standard stream, or what an embedding program names. */
  lend(number: number): Transferable;
  /** What our parent gave us and names by this number, of which it is not known yet whether it is what it should be. */
  inherited(number: number): Received;
  /** For what has to observe processes. @throws BrokerError PLATFORM_UNSUPPORTED when the system shows none, IO_FAILED */
  requireProc(): void;
  /** Ends this process by the signal that it was asked to end with, which it must not handle any more. */
  endBySignal(signal: "SIGTERM" | "SIGINT"): void;
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
  /** The number by which a child knows `transferable` when it is started with `inherit`, which must hold it. */
  numberInChild(inherit: readonly Transferable[], transferable: Transferable): number;
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
