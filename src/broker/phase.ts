/** Whether this process is the broker: a broker that stops still is; one that has been replaced is not, and ends after its last connection. */
import { type Refusal, refuse } from "../model/refusal.ts";

export class Phase {
  private stopping = false;
  private replaced = false;
  private relays: Promise<void> | undefined;

  get isStopping(): boolean {
    return this.stopping;
  }

  /** Another process is the broker. */
  get isReplaced(): boolean {
    return this.replaced;
  }

  /** The process whose place this one took may still relay requests. */
  get hasRelays(): boolean {
    return this.relays !== undefined;
  }

  stop(): void {
    this.stopping = true;
  }

  replace(): void {
    this.replaced = true;
  }

  /** `over` resolves when the process whose place this one took relays nothing any more. */
  relayedTo(over: Promise<void>): void {
    this.relays = over.then(() => {
      this.relays = undefined;
    });
  }

  /** Resolves when nothing comes any more from the process whose place this one took. */
  async relaysOver(): Promise<void> {
    await this.relays;
  }

  /** Why no Hello can be taken; undefined when one can. */
  closedToHellos(): Refusal | undefined {
    if (this.isStopping) return refuse("SHUTTING_DOWN", "broker is shutting down");
    // Only for what could not be relayed to it.
    if (this.replaced) return refuse("SHUTTING_DOWN", "another process is the broker now");
    return undefined;
  }

  /** Why no other process can take this one's place; undefined when one can. */
  closedToRestart(): string | undefined {
    if (this.isStopping) return "it is shutting down";
    return this.replaced ? "it has been replaced" : undefined;
  }
}
