/** One read or write that waits for readiness. There is one for every idle connection, so it is one object. */
import type { Deadline, Timer } from "../../../base/clock.ts";
import { BrokerError } from "../../../base/errors.ts";
import { onceReady, type ReadinessWatch } from "./readiness.ts";
import type { PosixSystem } from "./system.ts";

export type Slot = "reading" | "writing";

/** The connection that it waits for, whose slot it leaves when it settles. */
export interface PendingOwner {
  readonly fd: number;
  readonly system: Pick<PosixSystem, "onceReadyAside">;
  blocking: boolean;
  reading: Pending | undefined;
  writing: Pending | undefined;
}

export class Pending {
  private readonly watch: Pick<ReadinessWatch, "stop">;
  private readonly timer: Timer;

  constructor(
    private readonly slot: Slot,
    private readonly owner: PendingOwner,
    deadline: Deadline,
    private readonly settled: { readonly resolve: () => void; readonly reject: (error: BrokerError) => void },
  ) {
    const ready = (): void => this.resolve();
    if (slot === "writing") this.watch = owner.system.onceReadyAside(owner.fd, "writable", ready);
    else this.watch = (owner.blocking ? owner.system.onceReadyAside : onceReady)(owner.fd, "readable", ready);
    this.timer = deadline.arm(() => this.reject(timedOut(slot)));
  }

  reject(error: BrokerError): void {
    this.settle();
    this.settled.reject(error);
  }

  private resolve(): void {
    this.settle();
    this.settled.resolve();
  }

  private settle(): void {
    this.watch.stop();
    this.timer.cancel();
    this.owner[this.slot] = undefined;
  }
}

export function timedOut(slot: Slot): BrokerError {
  return new BrokerError("DEADLINE_EXCEEDED", `the deadline passed while ${slot} a local socket`);
}
