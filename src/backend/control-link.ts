/**
 * The backend's end of its control channel, for as long as the backend runs. The first channel is inherited; when it ends
 * (the broker was killed, or replaced) the backend serves on and dials the broker's socket for another one.
 *
 * States: open (a channel), waiting (a timer runs), dialling, closed (for good). A channel that was dialled counts only
 * once the broker has said so: a broker that does not know us closes, and the waiting time grows.
 */
import { Deadline, sleep, type Timer } from "../base/clock.ts";
import { BrokerError, hasCode, isBrokerError } from "../base/errors.ts";
import type { Connection, Env, Platform } from "../platform/ports/index.ts";
import { type ControlArm, encodeControl } from "../wire/control.ts";
import type { HandoffAcceptor } from "./handoff-acceptor.ts";
import { BACKEND_PIPE } from "./launch-environment.ts";

export interface ControlLinkOptions {
  readonly platform: Pick<Platform, "clock" | "transport" | "processes" | "user">;
  readonly launchEnv: Env;
  /** Written first on every channel. */
  readonly greeting: () => Buffer;
  /** Serves a channel to its end and closes it; calls `attached` when the broker says that it has become one. */
  readonly serve: (channel: Connection, attached: () => void) => HandoffAcceptor;
  /** There is a channel, and this sends on it; undefined: there is none any more. */
  readonly onChange: (send: ControlLink["send"] | undefined) => void;
  readonly report: (error: unknown) => void;
}

export interface ControlLink {
  /** Dropped when there is no channel; one that has no room for a second is ended. The next one begins with how things are. */
  send(message: ControlArm): void;
  /** Somebody probes us, perhaps a new broker: no reason to wait longer. */
  probed(): void;
  /** Ends the channel once everything that was sent has left, and the search for one. May be called again. */
  close(): Promise<void>;
}

const FIRST_RETRY_MS = 50;
const LAST_RETRY_MS = 5_000;
/** For dialling, and for whatever is written; a broker that takes longer is gone or stopped. */
const EXCHANGE_MS = 1_000;
const ROOM_RETRY_MS = 20;

/** Undefined for a process that inherited no channel. @throws BrokerError ENDPOINT_INVALID (the inherited descriptor) */
export function openControlLink(options: ControlLinkOptions): ControlLink | undefined {
  const inherited = inheritedChannel(options.platform, options.launchEnv);
  return inherited && new Link(options, inherited);
}

function inheritedChannel(platform: Pick<Platform, "processes" | "transport">, env: Env): Connection | undefined {
  const text = env.RUNNING_PROCESS_BROKER_CONTROL_FD;
  if (text === undefined) return undefined;
  if (!/^\s*\d{1,9}\s*$/.test(text)) {
    throw new BrokerError(
      "ENDPOINT_INVALID",
      `RUNNING_PROCESS_BROKER_CONTROL_FD is ${JSON.stringify(text)}, expected a decimal number`,
    );
  }
  return platform.transport.adoptConnection(platform.processes.inherited(Number(text)));
}

class Link implements ControlLink {
  private channel: Connection | undefined;
  private acceptor: HandoffAcceptor | undefined;
  private attached = false;
  private closed = false;
  private retryMs = FIRST_RETRY_MS;
  private timer: Timer | undefined;
  /** Messages leave one after the other. */
  private sending: Promise<void> = Promise.resolve();

  constructor(
    private readonly options: ControlLinkOptions,
    inherited: Connection,
  ) {
    void this.run(inherited, options.greeting(), true);
  }

  send(message: ControlArm): void {
    const { channel } = this;
    if (channel === undefined) return;
    const bytes = encodeControl(message);
    this.sending = this.sending.then(() => (this.channel === channel ? this.write(channel, bytes) : undefined));
  }

  probed(): void {
    if (this.timer === undefined) return;
    this.timer.cancel();
    void this.dial();
  }

  async close(): Promise<void> {
    this.closed = true;
    this.timer?.cancel();
    this.timer = undefined;
    const { channel } = this;
    await this.sending;
    if (channel !== undefined) this.drop(channel);
  }

  /** A channel from its greeting to its end. */
  private async run(channel: Connection, greeting: Buffer, attached: boolean): Promise<void> {
    const { options } = this;
    this.channel = channel;
    this.attached = attached;
    this.sending = this.write(channel, greeting);
    if (attached) options.onChange((message) => this.send(message));
    this.acceptor = options.serve(channel, () => this.becomeAttached());
    try {
      await this.acceptor.ended;
    } catch (error) {
      // That it ended is all there is to say of a broker that is gone, and of one that never took us.
      if (!this.closed && this.attached && !hasCode(error, "IO_FAILED")) options.report(error);
    }
    this.channel = undefined;
    this.acceptor = undefined;
    if (this.attached) options.onChange(undefined);
    this.attached = false;
    this.retryLater();
  }

  private becomeAttached(): void {
    if (this.attached) return;
    this.attached = true;
    this.retryMs = FIRST_RETRY_MS;
    this.options.onChange((message) => this.send(message));
  }

  /**
   * Whole or not at all, as unix(7) does it with short messages: an acknowledgement of the acceptor's that waits for room
   * on the same connection is not cut in two.
   */
  private async write(channel: Connection, bytes: Buffer): Promise<void> {
    const deadline = Deadline.after(this.options.platform.clock, EXCHANGE_MS);
    try {
      while (this.channel === channel) {
        const sent = channel.sendNow(bytes);
        if (sent === bytes.length) return;
        // Half a message makes everything after it unreadable.
        if (sent > 0 || deadline.passed()) return this.drop(channel);
        await sleep(deadline.clock, ROOM_RETRY_MS);
      }
    } catch (error) {
      if (!isBrokerError(error)) this.options.report(error);
      this.drop(channel);
    }
  }

  private drop(channel: Connection): void {
    if (this.channel === channel) this.acceptor?.close();
    channel.close();
  }

  private retryLater(): void {
    if (this.closed || !this.options.launchEnv.RUNNING_PROCESS_BROKER_ENDPOINT) return;
    this.timer = this.options.platform.clock.schedule(this.retryMs, () => void this.dial(), { weak: true });
    this.retryMs = Math.min(2 * this.retryMs, LAST_RETRY_MS);
  }

  private async dial(): Promise<void> {
    this.timer = undefined;
    const { platform, launchEnv, greeting } = this.options;
    const path = launchEnv.RUNNING_PROCESS_BROKER_ENDPOINT ?? "";
    try {
      const channel = await platform.transport.connect(path, Deadline.after(platform.clock, EXCHANGE_MS));
      // Whoever is there may make us serve connections: only our own user's process.
      if (this.closed || !platform.user.owns(channel.peer)) {
        channel.close();
        return this.retryLater();
      }
      const attach = encodeControl({
        case: "attach",
        value: { endpoint: launchEnv[BACKEND_PIPE] ?? "", pid: platform.processes.selfPid },
      });
      void this.run(channel, Buffer.concat([attach, greeting()]), false);
    } catch (error) {
      if (hasCode(error, "IO_FAILED", "DEADLINE_EXCEEDED")) return this.retryLater();
      // A path that can never be dialled.
      this.options.report(error);
    }
  }
}
