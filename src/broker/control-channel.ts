/**
 * The broker's end of the control channel of one launched backend. Any number of handoffs are in flight on it: offers
 * are written one after the other, acknowledgements are matched by correlation id in whatever order they come.
 *
 * When the backend dies or breaks the protocol the channel is closed for good, and everything that waits ends at once:
 * an SDK backend acknowledges before it reads, so without an acknowledgement nothing was read.
 */
import { Deadline, type Timer } from "../base/clock.ts";
import { reasonOf } from "../base/errors.ts";
import { readFrameBody } from "../exchange/frame-io.ts";
import type { StageResult } from "../model/handoff-stages.ts";
import type { Connection, Platform } from "../platform/ports.ts";
import { hasCapability } from "../wire/capabilities.ts";
import { decodeControlMessage } from "../wire/control.ts";
import { decodeFrame } from "../wire/envelope.ts";
import { checkAck, type Offer } from "../wire/handoff.ts";
import { MAX_HELLO_BODY_BYTES } from "../wire/limits.ts";
import { type Frame, FrameKind } from "../wire/messages.ts";
import { PAYLOAD_PROTOCOL } from "../wire/payload-protocol.ts";
import { type HandoffExchange, type HandoffWay, sendOver } from "./handoff-way.ts";

export interface ControlChannel {
  /** Undefined until the backend has said that it takes connections over, and after its end. */
  way(): HandoffWay | undefined;
  close(): void;
}

/** Consumes the connection. */
export function createControlChannel(platform: Pick<Platform, "clock">, connection: Connection): ControlChannel {
  return new BackendControl(platform, connection);
}

interface Waiting {
  readonly offer: Offer;
  settle(result: StageResult): void;
}

class BackendControl implements ControlChannel {
  private capabilities = 0n;
  private closedBy: string | undefined;
  private sending: Promise<unknown> = Promise.resolve();
  private readonly waiting = new Map<bigint, Waiting>();

  constructor(
    private readonly platform: Pick<Platform, "clock">,
    private readonly connection: Connection,
  ) {
    void this.receive();
  }

  way(): HandoffWay | undefined {
    if (this.closedBy !== undefined || !hasCapability(this.capabilities, "handlePassing")) return undefined;
    return { direct: hasCapability(this.capabilities, "handoffDirect"), open: (offer) => this.exchange(offer) };
  }

  close(): void {
    this.end("the broker closed the control channel");
  }

  private exchange(offer: Offer): HandoffExchange {
    let acknowledged: Promise<StageResult> | undefined;
    return {
      send: async (descriptor, deadline) => {
        // Registered first: the acknowledgement can be here before our own send returns.
        acknowledged = this.register(offer, deadline);
        const turn = this.sending.then(() => this.send(offer, descriptor, deadline));
        this.sending = turn;
        const sent = await turn;
        if (!sent.ok) this.waiting.delete(offer.correlationId);
        return sent;
      },
      awaitAck: () => acknowledged ?? Promise.resolve({ ok: false, detail: "no offer was sent" }),
      close: () => void this.waiting.delete(offer.correlationId),
    };
  }

  private async send(offer: Offer, descriptor: number, deadline: Deadline): Promise<StageResult> {
    if (this.closedBy !== undefined) return { ok: false, error: "backend-socket-unavailable", detail: this.closedBy };
    const sent = await sendOver(this.connection, offer, descriptor, deadline);
    // Half a message makes everything after it unreadable.
    if (!sent.ok && sent.error === "sent-in-part") this.end(sent.detail);
    return sent;
  }

  private register(offer: Offer, deadline: Deadline): Promise<StageResult> {
    return new Promise((resolve) => {
      let timer: Timer | undefined;
      const settle = (result: StageResult): void => {
        timer?.cancel();
        this.waiting.delete(offer.correlationId);
        resolve(result);
      };
      timer = deadline.arm(() => settle({ ok: false, detail: "the backend did not acknowledge in time" }), {
        weak: true,
      });
      this.waiting.set(offer.correlationId, { offer, settle });
    });
  }

  private async receive(): Promise<void> {
    const limits = { maxBodyBytes: MAX_HELLO_BODY_BYTES, deadline: Deadline.never(this.platform.clock) };
    try {
      for (;;) this.take(decodeFrame(await readFrameBody(this.connection, limits)));
    } catch (error) {
      this.end(`the backend's control channel ended: ${reasonOf(error)}`);
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

  private end(why: string): void {
    if (this.closedBy !== undefined) return;
    this.closedBy = why;
    this.connection.close();
    for (const { settle } of [...this.waiting.values()]) settle({ ok: false, rejected: true, detail: why });
  }
}
