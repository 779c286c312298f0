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
import { Deadline, type Timer } from "../base/clock.ts";
import { hasCode, reasonOf } from "../base/errors.ts";
import type { StageResult } from "../model/handoff-stages.ts";
import type { Connection, Platform } from "../platform/ports.ts";
import { hasCapability } from "../wire/capabilities.ts";
import { decodeControlMessage } from "../wire/control.ts";
import { decodeFrame } from "../wire/envelope.ts";
import { createFrameDecoder } from "../wire/frame-decoder.ts";
import { frameTruncated, truncationContext } from "../wire/framing.ts";
import { checkAck, type Offer } from "../wire/handoff.ts";
import { MAX_HELLO_BODY_BYTES } from "../wire/limits.ts";
import { type Frame, FrameKind } from "../wire/messages.ts";
import { PAYLOAD_PROTOCOL } from "../wire/payload-protocol.ts";
import { type AckUrgency, type HandoffExchange, type HandoffWay, offerBytes, sendOver } from "./handoff-way.ts";

export interface ControlChannel {
  /** Undefined until the backend has said that it takes connections over, and after its end. */
  way(): HandoffWay | undefined;
  /** Nothing is offered any more; what has been offered may still be acknowledged, as long as it has time. */
  close(): void;
}

/** Consumes the connection. */
export function createControlChannel(platform: Pick<Platform, "clock">, connection: Connection): ControlChannel {
  return new BackendControl(platform, connection);
}

/**
 * For acknowledgements that nobody waits for. Without it the broker is woken by each, just when the backend is about to
 * answer the client, and on a busy machine takes the processor from it.
 */
const ACK_LEISURE_MS = 1;
/** Several acknowledgements. */
const READ_BYTES = 1024;

interface Waiting {
  readonly offer: Offer;
  readonly urgency: AckUrgency;
  settle(result: StageResult): void;
}

class BackendControl implements ControlChannel {
  private capabilities = 0n;
  private closedBy: string | undefined;
  /** The last offer in the queue for sending; undefined when none is. */
  private sending: Promise<unknown> | undefined;
  private readonly waiting = new Map<bigint, Waiting>();

  constructor(
    private readonly platform: Pick<Platform, "clock">,
    private readonly connection: Connection,
  ) {
    void this.receive();
  }

  way(): HandoffWay | undefined {
    if (this.closedBy !== undefined || !hasCapability(this.capabilities, "handlePassing")) return undefined;
    return {
      direct: hasCapability(this.capabilities, "handoffDirect"),
      open: (offer, urgency) => this.exchange(offer, urgency),
    };
  }

  close(): void {
    this.closedBy ??= "the broker closed the control channel";
    if (this.waiting.size === 0) this.connection.close();
  }

  private exchange(offer: Offer, urgency: AckUrgency): HandoffExchange {
    let acknowledged: Promise<StageResult> | undefined;
    const bytes = offerBytes(offer);
    return {
      send: async (descriptor, deadline) => {
        // Registered first: the acknowledgement can be here before our own send returns.
        const waiting = this.register(offer, urgency);
        acknowledged = waiting.result;
        const send = (): Promise<StageResult> => this.send(bytes, descriptor, deadline);
        // With nobody in front the message leaves in this very call.
        const turn = this.sending === undefined ? send() : this.sending.then(send);
        this.sending = turn;
        waiting.limit(deadline);
        const sent = await turn;
        if (this.sending === turn) this.sending = undefined;
        if (!sent.ok) this.waiting.get(offer.correlationId)?.settle(sent);
        return sent;
      },
      awaitAck: () => acknowledged ?? Promise.resolve({ ok: false, detail: "no offer was sent" }),
      close: () => this.waiting.get(offer.correlationId)?.settle({ ok: false, detail: "the handoff was given up" }),
    };
  }

  private async send(bytes: Uint8Array, descriptor: number, deadline: Deadline): Promise<StageResult> {
    if (this.closedBy !== undefined) return { ok: false, error: "backend-socket-unavailable", detail: this.closedBy };
    const sent = await sendOver(this.connection, bytes, descriptor, deadline);
    // Half a message makes everything after it unreadable.
    if (!sent.ok && sent.error === "sent-in-part") this.end({ ok: false, detail: sent.detail });
    return sent;
  }

  private register(
    offer: Offer,
    urgency: AckUrgency,
  ): { readonly result: Promise<StageResult>; limit(deadline: Deadline): void } {
    let timer: Timer | undefined;
    let settle: (result: StageResult) => void = () => {};
    const result = new Promise<StageResult>((resolve) => {
      settle = (result) => {
        timer?.cancel();
        this.waiting.delete(offer.correlationId);
        resolve(result);
        if (this.closedBy !== undefined && this.waiting.size === 0) this.connection.close();
      };
    });
    this.waiting.set(offer.correlationId, { offer, urgency, settle });
    this.connection.postponeReading(this.platform.clock, this.isAnybodyWaiting() ? 0 : ACK_LEISURE_MS);
    return {
      result,
      limit(deadline) {
        const timeUp = (): void => settle({ ok: false, detail: "the backend did not acknowledge in time" });
        timer = deadline.arm(timeUp, { weak: true });
      },
    };
  }

  private isAnybodyWaiting(): boolean {
    for (const { urgency } of this.waiting.values()) if (urgency === "at-once") return true;
    return false;
  }

  private async receive(): Promise<void> {
    const decoder = createFrameDecoder({ maxBodyBytes: MAX_HELLO_BODY_BYTES });
    const never = Deadline.never(this.platform.clock);
    try {
      for (;;) {
        const chunk = await this.connection.readSome(READ_BYTES, never);
        if (chunk.length === 0) throw frameTruncated(truncationContext(decoder.bufferedBytes));
        decoder.push(chunk);
        for (let body = decoder.next(); body !== undefined; body = decoder.next()) this.take(decodeFrame(body));
      }
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
      return;
    }
    const waiting = this.waiting.get(frame.requestId);
    // Too late, and everything is undone already: such a connection is dead in the backend's hands.
    if (waiting === undefined) return;
    waiting.settle(checkAck(frame, waiting.offer));
  }

  /** `outcome`: for everything that waits. */
  private end(outcome: Extract<StageResult, { ok: false }>): void {
    this.closedBy ??= outcome.detail;
    this.connection.close();
    for (const { settle } of [...this.waiting.values()]) settle(outcome);
  }
}
