/**
 * A reply that waits for what is to come right after it, so that the client is woken once and not twice; but never for
 * long, because a client that wants nothing but the reply waits with it.
 */
import type { Clock, Deadline, Timer } from "../base/clock.ts";
import type { Connection } from "../platform/ports.ts";

/** Borrows the connection. */
export class HeldReply {
  private sending: Promise<void> | undefined;
  private readonly timer: Timer;

  constructor(
    private readonly connection: Pick<Connection, "writeAll">,
    private readonly reply: Uint8Array,
    private readonly at: { readonly clock: Clock; readonly deadline: Deadline; readonly longestMs: number },
  ) {
    // What went wrong then is heard by whoever calls next.
    this.timer = at.clock.schedule(at.longestMs, () => void this.send().catch(() => {}));
  }

  /** By itself; what has been sent is not sent again. @throws BrokerError DEADLINE_EXCEEDED, IO_FAILED */
  send(): Promise<void> {
    this.sending ??= this.write(this.reply);
    return this.sending;
  }

  /** With `more` behind it, or `more` alone when the reply has left. To be called once. @throws BrokerError as `send` */
  async sendWith(more: Uint8Array): Promise<void> {
    if (this.sending === undefined) return this.write(Buffer.concat([this.reply, more]));
    await this.sending;
    await this.connection.writeAll(more, this.at.deadline);
  }

  private async write(bytes: Uint8Array): Promise<void> {
    this.timer.cancel();
    await this.connection.writeAll(bytes, this.at.deadline);
  }
}
