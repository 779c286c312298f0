/**
 * The broker's end of the control channel of one launched backend. Any number of handoffs are in flight on it: offers
 * are written one after the other, acknowledgements are matched by correlation id in whatever order they come.
 *
 * An end of the channel is final, and everything that waits ends with it. What that proves depends on how it came:
 *
 *   the backend closed its end or died   everything it ever wrote has been read, and it acknowledges before it reads a
 *                                        client: what is not acknowledged was not read by anybody
 *   anything else                        an acknowledgement may be on its way, and the connection with it in use
 */
import type { Deadline } from "../../base/clock.ts";
import { acquire } from "../../base/disposal-stack.ts";
import { hasCode, reasonOf } from "../../base/errors.ts";
import type { MaybePromise } from "../../base/maybe-promise.ts";
import type { StageResult } from "../../model/handoff-stages.ts";
import type { Connection, Platform, ReadableWatch, Transferable } from "../../platform/ports/index.ts";
import { hasCapability } from "../../wire/capabilities.ts";
import { decodeControlMessage } from "../../wire/control.ts";
import { decodeFrame } from "../../wire/envelope.ts";
import { createFrameDecoder } from "../../wire/frame-decoder.ts";
import { frameTruncated, truncationContext } from "../../wire/framing.ts";
import type { Offer } from "../../wire/handoff.ts";
import { MAX_HELLO_BODY_BYTES } from "../../wire/limits.ts";
import { type Frame, FrameKind } from "../../wire/messages.ts";
import { PAYLOAD_PROTOCOL } from "../../wire/payload-protocol.ts";
import {
  type AckUrgency,
  type HandoffExchange,
  type HandoffWay,
  offerBytes,
  sendOver,
} from "../handoff/handoff-transport.ts";
import { type ControlMemory, type ControlRequests, createControlRequests } from "./control-requests.ts";
import { createPendingAcks, type PendingAcks } from "./pending-acks.ts";

export interface ControlChannel {
  /** Calls back once when the channel has ended, at once when it has: the backend is dying or about to end, or broke the protocol. */
  onEnd(callback: () => void): void;
  /** Undefined until the backend has said that it takes connections over, and after its end. */
  way(): HandoffWay | undefined;
  /** Everything beside handoffs. */
  readonly control: Omit<ControlRequests, "take" | "end" | "memory">;
  /**
   * Neither reads nor writes any more, so that another process can go on where this one stopped. Nothing may be offered
   * until `resume`. Undefined when the channel has ended. Borrows the descriptor to the caller.
   */
  suspend(): Promise<SuspendedChannel | undefined>;
  resume(): void;
  /** Another process has it now: closes our descriptor, of which the backend notices nothing. */
  letGo(): void;
  /** Nothing is offered any more; what has been offered may still be acknowledged, as long as it has time. */
  close(): void;
}

/** What a channel has heard so far. */
export interface ChannelMemory extends ControlMemory {
  readonly capabilities: bigint;
  /** Read, but not yet a whole message. */
  readonly unfinished: Uint8Array;
}

export interface SuspendedChannel {
  readonly transferable: Transferable;
  readonly memory: ChannelMemory;
}

/** Consumes the connection, also when it throws. `memory`: of the broker that used the channel before. */
export function createControlChannel(
  platform: Pick<Platform, "clock">,
  connection: Connection,
  memory?: ChannelMemory,
): ControlChannel {
  return acquire((held) => {
    held.use(connection);
    return new BackendControl(platform, connection, memory);
  });
}

/** Several acknowledgements. */
const READ_BYTES = 1024;

class BackendControl implements ControlChannel {
  readonly control: ControlRequests;
  private capabilities: bigint;
  private closedBy: string | undefined;
  /** The last offer in the queue for sending; undefined when none is. */
  private sending: Promise<unknown> | undefined;
  private readonly acks: PendingAcks;
  private readonly decoder = createFrameDecoder({ maxBodyBytes: MAX_HELLO_BODY_BYTES });
  private readonly watch: ReadableWatch;
  private ended = false;
  private suspending = false;
  private suspended: { readonly over: Promise<void>; end(): void } | undefined;
  private readonly endCallbacks: (() => void)[] = [];

  constructor(
    platform: Pick<Platform, "clock">,
    private readonly connection: Connection,
    memory: ChannelMemory | undefined,
  ) {
    this.capabilities = memory?.capabilities ?? 0n;
    if (memory !== undefined) this.decoder.push(memory.unfinished);
    this.control = createControlRequests({
      connection,
      memory,
      turn: async () => {
        for (let wait = this.busy(); wait !== undefined; wait = this.busy()) await wait;
      },
      sendRest: (bytes, deadline) => void this.inTurn(() => this.sendRest(bytes, deadline)),
    });
    this.watch = connection.watchReadable(() => this.receive());
    this.acks = createPendingAcks(platform.clock, this.watch, () => {
      if (this.closedBy !== undefined) this.shut();
    });
  }

  way(): HandoffWay | undefined {
    if (this.closedBy !== undefined || !hasCapability(this.capabilities, "handlePassing")) return undefined;
    return {
      direct: hasCapability(this.capabilities, "handoffReply"),
      open: (offer, urgency) => this.exchange(offer, urgency),
    };
  }

  onEnd(callback: () => void): void {
    if (this.ended) callback();
    else this.endCallbacks.push(callback);
  }

  close(): void {
    this.closedBy ??= "the broker closed the control channel";
    this.control.end(this.closedBy);
    if (this.acks.none) this.shut();
  }

  async suspend(): Promise<SuspendedChannel | undefined> {
    this.suspending = true;
    while (this.sending !== undefined) await this.sending;
    // Given up meanwhile, or ended.
    if (!this.suspending || this.closedBy !== undefined) return undefined;
    let end = (): void => {};
    const over = new Promise<void>((resolve) => {
      end = resolve;
    });
    this.suspended = { over, end };
    this.acks.stopWaiting();
    this.watch.pause();
    const { capabilities, decoder, control } = this;
    const unfinished = decoder.takeRest();
    decoder.push(unfinished);
    return { transferable: this.connection.transferable, memory: { capabilities, unfinished, ...control.memory } };
  }

  resume(): void {
    this.suspending = false;
    if (this.suspended === undefined) return;
    this.suspended.end();
    this.suspended = undefined;
    this.watch.resume();
  }

  letGo(): void {
    this.closedBy ??= "another process has taken the control channel over";
    this.shut();
  }

  /** What a message has to wait for; undefined: nothing. */
  private busy(): Promise<unknown> | undefined {
    return this.suspended?.over ?? this.sending;
  }

  private exchange(offer: Offer, urgency: AckUrgency): HandoffExchange {
    let acknowledged: Promise<StageResult> | undefined;
    const bytes = offerBytes(offer);
    const sent = (result: StageResult): StageResult => {
      if (!result.ok) this.acks.settle(offer.correlationId, result);
      return result;
    };
    return {
      send: (client, deadline) => {
        const result = this.inTurn(() => this.send(bytes, client, deadline));
        if (!(result instanceof Promise) && !result.ok) return result;
        // An acknowledgement is read in a later turn at the earliest, and the client waits for the offer, not for this.
        acknowledged = this.acks.wait(offer, urgency, deadline);
        return result instanceof Promise ? result.then(sent) : result;
      },
      awaitAck: () => acknowledged ?? { ok: false, detail: "no offer was sent" },
      close: () => this.acks.settle(offer.correlationId, { ok: false, detail: "the handoff was given up" }),
    };
  }

  /** With nobody in front the message leaves in this very call. */
  private inTurn(send: () => MaybePromise<StageResult>): MaybePromise<StageResult> {
    const result = this.sending === undefined ? send() : this.sending.then(send);
    if (!(result instanceof Promise)) return result;
    const turn = result.finally(() => {
      if (this.sending === turn) this.sending = undefined;
    });
    this.sending = turn;
    return turn;
  }

  private send(bytes: Uint8Array, client: Transferable, deadline: Deadline): MaybePromise<StageResult> {
    if (this.closedBy !== undefined) return { ok: false, error: "backend-socket-unavailable", detail: this.closedBy };
    const sent = sendOver(this.connection, bytes, client, deadline);
    return sent instanceof Promise ? sent.then((result) => this.checkSent(result)) : this.checkSent(sent);
  }

  private async sendRest(bytes: Uint8Array, deadline: Deadline): Promise<StageResult> {
    try {
      await this.connection.writeAll(bytes, deadline);
      return { ok: true };
    } catch (error) {
      return this.checkSent({ ok: false, error: "sent-in-part", detail: `control message: ${reasonOf(error)}` });
    }
  }

  /** Half a message makes everything after it unreadable. */
  private checkSent(result: StageResult): StageResult {
    if (!result.ok && result.error === "sent-in-part") this.end({ ok: false, detail: result.detail });
    return result;
  }

  private receive(): void {
    try {
      const chunk = this.connection.readNow(READ_BYTES);
      if (chunk === undefined) return;
      if (chunk.length === 0) throw frameTruncated(truncationContext(this.decoder.bufferedBytes));
      this.decoder.push(chunk);
      for (let body = this.decoder.next(); body !== undefined; body = this.decoder.next()) this.take(decodeFrame(body));
    } catch (error) {
      const detail = `the backend's control channel ended: ${reasonOf(error)}`;
      this.end(
        hasCode(error, "FRAME_TRUNCATED", "IO_FAILED") ? { ok: false, rejected: true, detail } : { ok: false, detail },
      );
    }
  }

  /** Throws for what cannot be followed; the channel ends then. */
  private take(frame: Frame): void {
    if (frame.kind === FrameKind.EVENT && frame.payloadProtocol === PAYLOAD_PROTOCOL.control) {
      const { message } = decodeControlMessage(frame);
      if (message.case === "announce") this.capabilities = message.value.capabilities;
      this.control.take(message);
      return;
    }
    this.acks.acknowledged(frame);
  }

  /** `outcome`: for everything that waits. */
  private end(outcome: Extract<StageResult, { ok: false }>): void {
    this.closedBy ??= outcome.detail;
    this.shut();
    this.control.end(this.closedBy);
    this.acks.settleAll(outcome);
    this.ended = true;
    for (const callback of this.endCallbacks.splice(0)) callback();
  }

  private shut(): void {
    this.acks.close();
    this.connection.close();
  }
}
