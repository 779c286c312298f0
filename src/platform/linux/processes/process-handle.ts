/** A process held by a pidfd: liveness and signals cannot hit another process that got the same number later. */
import { constants } from "node:os";
import type { ProcessHandle } from "../../ports/index.ts";
import { close, isReadable } from "../../posix/libc.ts";
import { type ReadinessWatch, watchReadiness } from "../../posix/sockets/readiness.ts";
import { pidfdOpen, pidfdSendSignal } from "../kernel/libc.ts";
import { guard, look, unguard } from "../kernel/sentinel.ts";

/** Undefined when there is no such process. */
export function openProcess(pid: number): ProcessHandle | undefined {
  if (!Number.isInteger(pid) || pid <= 0 || pid > 0x7fffffff) return undefined;
  const pidfd = pidfdOpen(pid);
  return pidfd < 0 ? undefined : createProcessHandle(pid, pidfd);
}

/** Consumes `pidfd`. */
export function createProcessHandle(pid: number, pidfd: number): ProcessHandle {
  return new PidfdHandle(pid, pidfd);
}

class PidfdHandle implements ProcessHandle {
  private open = true;
  private exited = false;
  /** Ended, though not told yet. */
  private dead = false;
  private asked = false;
  private guarded = false;
  private watch: ReadinessWatch | undefined;
  private readonly callbacks: (() => void)[] = [];

  constructor(
    readonly pid: number,
    private readonly pidfd: number,
  ) {}

  isAlive(): boolean {
    // Readable means terminated, a zombie included (pidfd_open(2)); signal 0 would call a zombie alive.
    if (!this.open || this.dead || this.exited) return false;
    // Who asks a second time will ask more often.
    if (this.asked && !this.guarded) this.guarded = guard(this.pidfd, () => this.died());
    this.asked = true;
    if (!this.guarded) return !isReadable(this.pidfd);
    look();
    return !this.dead;
  }

  onExit(callback: () => void): void {
    if (!this.open) return;
    if (this.exited) return callback();
    this.callbacks.push(callback);
    // pidfd_open(2): the descriptor becomes readable when the process terminates.
    this.watch ??= watchReadiness(this.pidfd, "readable", () => this.ended(), { weak: true });
  }

  askToEnd(): boolean {
    return this.send(constants.signals.SIGTERM);
  }

  kill(): boolean {
    return this.send(constants.signals.SIGKILL);
  }

  close(): void {
    if (!this.open) return;
    this.open = false;
    this.watch?.stop();
    this.unguard();
    close(this.pidfd);
  }

  private send(signal: number): boolean {
    return this.open && pidfdSendSignal(this.pidfd, signal) === 0;
  }

  private died(): void {
    this.dead = true;
    this.unguard();
  }

  private unguard(): void {
    if (this.guarded) unguard(this.pidfd);
    this.guarded = false;
  }

  private ended(): void {
    this.exited = true;
    this.watch?.stop();
    this.unguard();
    for (const callback of this.callbacks.splice(0)) callback();
  }
}
