/**
 * One connection: who is it, one frame in, one reply out, close (spec: server §5). Whatever happens here concerns this
 * connection only: every failure ends in a reply where the protocol has one, and in a close in any case.
 */
import type { Deadline } from "../../base/clock.ts";
import type { MaybePromise } from "../../base/maybe-promise.ts";
import type { Refusal } from "../../model/refusal.ts";
import type { Connection } from "../../platform/ports/index.ts";
import { type Correlation, encodeResponse } from "../../wire/envelope.ts";
import type { Frame } from "../../wire/messages.ts";
import { PAYLOAD_PROTOCOL } from "../../wire/payload-protocol.ts";
import type { AdminOutcome } from "../admin/admin-route.ts";
import type { ConnectionOutcome } from "../events/reports.ts";
import type { HelloOutcome, HelloRoute } from "../hello/hello-route.ts";
import { encodeRefused } from "../hello/refused-reply.ts";
import type { AttachOutcome } from "./attach-route.ts";
import { type ReadOptions, type Request, readRequest } from "./read-request.ts";

export interface ServeOptions extends ReadOptions {
  readonly hello: HelloRoute;
  /** Rejects with a BrokerError for a frame that gets no reply. */
  readonly admin: (frame: Frame, connection: Connection) => Promise<AdminOutcome>;
  /**
   * Resolves true when connection and request, which has been read, are another process's now. Undefined: they are ours.
   * Default: they always are.
   */
  readonly relay?: (connection: Connection, frame: Frame) => Promise<boolean> | undefined;
  /** Is this frame a backend that wants its control channel back? Consumes the connection when that is `kept`. Default: none is. */
  readonly attach?: (frame: Frame, connection: Connection) => AttachOutcome;
  /** Why no Hello can be taken right now; admin verbs are answered all the same. */
  readonly closedToHellos: () => Refusal | undefined;
  /** The identity that may talk to us. */
  readonly owner: string;
  readonly replyDeadline: () => Deadline;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** The request is complete; from here on it counts as work in flight. */
  readonly onRequest: (connection: Connection) => void;
  /** The conversation is over, and the connection closed or somebody else's. */
  readonly onEnd: (connection: Connection) => void;
  readonly onOutcome: (outcome: ConnectionOutcome) => void;
}

export interface ServeHow {
  /** Nobody else is being taken in in this turn. */
  readonly alone: boolean;
  /** The request, when another process has read it. */
  readonly request?: Frame;
}

/**
 * Consumes the connection. Never throws or rejects.
 *
 * Most requests are there when their peer is taken in, and most replies are known at once and fit into the socket; so
 * nothing here is a promise unless something has to be waited for. A turn of the promise queue for each step was a third of what a
 * Hello allocated, and of what the broker itself computed for it.
 */
export function serveConnection(connection: Connection, options: ServeOptions, how: ServeHow): MaybePromise<void> {
  return new Conversation(connection, options, how).run();
}

class Conversation {
  /** Set when the connection belongs to somebody else now. */
  private givenAway = false;

  constructor(
    private readonly connection: Connection,
    private readonly options: ServeOptions,
    private readonly how: ServeHow,
  ) {}

  run(): MaybePromise<void> {
    try {
      const pending = this.converse();
      if (pending instanceof Promise)
        return pending.catch((error: unknown) => this.dropped(error)).finally(() => this.end());
    } catch (error) {
      this.dropped(error);
    }
    this.end();
  }

  private dropped(error: unknown): void {
    this.options.onOutcome({ type: "dropped", error });
  }

  private end(): void {
    if (!this.givenAway) this.connection.close();
    this.options.onEnd(this.connection);
  }

  private converse(): MaybePromise<void> {
    const { connection, options, how } = this;
    const { pid, identity } = connection.peer;
    if (identity === "" || identity !== options.owner)
      return options.onOutcome({ type: "peer-rejected", pid, identity });
    if (how.request !== undefined) return this.take({ frame: how.request });
    const request = readRequest(connection, options);
    return request instanceof Promise ? request.then((read) => this.take(read)) : this.take(request);
  }

  private take(request: Request): MaybePromise<void> {
    if ("refusal" in request) return this.refuse(request.correlation, request.refusal);
    const { frame } = request;
    const relayed = this.options.relay?.(this.connection, frame);
    if (relayed === undefined) return this.answer(frame);
    return relayed.then((elsewhere) => (elsewhere ? undefined : this.answer(frame)));
  }

  private answer(frame: Frame): MaybePromise<void> {
    const { connection, options } = this;
    options.onRequest(connection);
    if (frame.payloadProtocol === PAYLOAD_PROTOCOL.admin) return this.answerAdmin(frame);
    const attached = options.attach?.(frame, connection) ?? "other";
    if (attached !== "other") {
      this.givenAway = attached === "kept";
      return options.onOutcome({ type: "attach", pid: connection.peer.pid, kept: this.givenAway });
    }
    const closed = options.closedToHellos();
    if (closed !== undefined) return this.refuse(frame, closed);
    const beganMs = options.now();
    const outcome = options.hello.handle(frame, connection.peer);
    // A reply wakes its peer, which takes the processor from us: others that came with it are read first.
    if (outcome instanceof Promise || !this.how.alone)
      return Promise.resolve(outcome).then((known) => this.answerHello(frame, known, beganMs));
    return this.answerHello(frame, outcome, beganMs);
  }

  private answerHello(frame: Frame, outcome: HelloOutcome, beganMs: number): MaybePromise<void> {
    const { connection, options } = this;
    const { reply, handoff } = outcome;
    const deadline = options.replyDeadline();
    const replied = handoff ? handoff.run(connection, reply, deadline) : connection.writeAll(reply, deadline);
    const durationMs = options.now() - beganMs;
    if (replied instanceof Promise) return replied.then(() => this.tellHello(frame, outcome, durationMs));
    this.tellHello(frame, outcome, durationMs);
  }

  private tellHello({ requestId }: Frame, outcome: HelloOutcome, durationMs: number): void {
    const { hello, refusal, connectionId, given } = outcome;
    this.options.onOutcome({
      type: "hello",
      // The same texts each time where there can be: what looks them up need not go through them again.
      service: given?.key.service ?? hello?.serviceName ?? "",
      version: given?.key.version ?? hello?.wantedVersion ?? "",
      pid: this.connection.peer.pid,
      refusal,
      connectionId,
      durationMs,
      requestId,
      given,
    });
  }

  private async answerAdmin(frame: Frame): Promise<void> {
    const outcome = await this.options.admin(frame, this.connection);
    await this.reply(frame, PAYLOAD_PROTOCOL.admin, outcome.reply);
    this.options.onOutcome({ type: "admin", pid: this.connection.peer.pid });
    outcome.afterReply?.();
  }

  private refuse(correlation: Correlation, refusal: Refusal): MaybePromise<void> {
    this.options.onOutcome({ type: "unreadable", pid: this.connection.peer.pid, refusal });
    return this.reply(correlation, PAYLOAD_PROTOCOL.control, encodeRefused(refusal));
  }

  private reply(correlation: Correlation, payloadProtocol: number, payload: Uint8Array): MaybePromise<void> {
    const bytes = encodeResponse(correlation, { payloadProtocol, payload });
    return this.connection.writeAll(bytes, this.options.replyDeadline());
  }
}
