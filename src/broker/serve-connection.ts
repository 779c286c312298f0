/**
 * One connection: who is it, one frame in, one reply out, close (spec: server §5). Whatever happens here concerns this
 * connection only: every failure ends in a reply where the protocol has one, and in a close in any case.
 */
import type { Deadline } from "../base/clock.ts";
import { hasCode, isBrokerError } from "../base/errors.ts";
import type { MaybePromise } from "../base/maybe-promise.ts";
import { readBody, readFrameLength } from "../exchange/frame-io.ts";
import { type Refusal, refuse } from "../model/refusal.ts";
import type { Connection } from "../platform/ports.ts";
import { type Correlation, decodeFrame, encodeResponse, NO_CORRELATION } from "../wire/envelope.ts";
import { MAX_FRAME_BODY_BYTES, MAX_HELLO_BODY_BYTES } from "../wire/limits.ts";
import type { Frame } from "../wire/messages.ts";
import { PAYLOAD_PROTOCOL } from "../wire/payload-protocol.ts";
import type { AdminOutcome } from "./admin-route.ts";
import type { AttachOutcome } from "./attach-route.ts";
import type { ByteQuota } from "./byte-quota.ts";
import { encodeRefused, type HelloOutcome, type HelloRoute } from "./hello-route.ts";

export interface ServeOptions {
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
  /** Bytes of frames above the Hello limit that may be held at one time, over all connections. */
  readonly largeFrames: ByteQuota;
  /** For the whole request, from accept to its last byte. */
  readonly requestDeadline: () => Deadline;
  readonly replyDeadline: () => Deadline;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** The request is complete; from here on it counts as work in flight. */
  readonly onRequest: (connection: Connection) => void;
  /** The conversation is over, and the connection closed or somebody else's. */
  readonly onEnd: (connection: Connection) => void;
  readonly onOutcome: (outcome: ConnectionOutcome) => void;
}

/** How a connection ended, for events and counters. */
export type ConnectionOutcome =
  | { readonly type: "peer-rejected"; readonly pid: number; readonly identity: string }
  | {
      readonly type: "hello";
      readonly service: string;
      readonly version: string;
      readonly pid: number;
      readonly refusal: Refusal | undefined;
      readonly connectionId: bigint;
      /** From the complete request to its reply. */
      readonly durationMs: number;
      readonly requestId: bigint;
      /** @see HelloOutcome.given */
      readonly given: HelloOutcome["given"];
    }
  | { readonly type: "unreadable"; readonly pid: number; readonly refusal: Refusal }
  | { readonly type: "admin"; readonly pid: number }
  | { readonly type: "attach"; readonly pid: number; readonly kept: boolean }
  | { readonly type: "dropped"; readonly error: unknown };

/** Consumes the connection. `alreadyRead`: the request, when another process has read it. Never rejects. */
export async function serveConnection(
  connection: Connection,
  options: ServeOptions,
  alreadyRead?: Frame,
): Promise<void> {
  let ours = true;
  const giveAway = (): void => {
    ours = false;
  };
  try {
    await converse(connection, options, { giveAway, alreadyRead });
  } catch (error) {
    options.onOutcome({ type: "dropped", error });
  } finally {
    if (ours) connection.close();
    options.onEnd(connection);
  }
}

/** `giveAway`: the connection belongs to somebody else now. */
async function converse(
  connection: Connection,
  options: ServeOptions,
  { giveAway, alreadyRead }: { giveAway: () => void; alreadyRead: Frame | undefined },
): Promise<void> {
  const { peer } = connection;
  if (peer.identity === "" || peer.identity !== options.owner) {
    options.onOutcome({ type: "peer-rejected", pid: peer.pid, identity: peer.identity });
    return;
  }
  const request: Request = alreadyRead ? { frame: alreadyRead } : await readRequest(connection, options);
  if ("refusal" in request) {
    options.onOutcome({ type: "unreadable", pid: peer.pid, refusal: request.refusal });
    return reply(connection, options, request.correlation, PAYLOAD_PROTOCOL.control, encodeRefused(request.refusal));
  }
  const { frame } = request;
  const relayed = options.relay?.(connection, frame);
  if (relayed !== undefined && (await relayed)) return;
  options.onRequest(connection);
  if (frame.payloadProtocol === PAYLOAD_PROTOCOL.admin) {
    const outcome = await options.admin(frame, connection);
    await reply(connection, options, frame, PAYLOAD_PROTOCOL.admin, outcome.reply);
    options.onOutcome({ type: "admin", pid: peer.pid });
    outcome.afterReply?.();
    return;
  }
  const attached = options.attach?.(frame, connection) ?? "other";
  if (attached !== "other") {
    const kept = attached === "kept";
    if (kept) giveAway();
    options.onOutcome({ type: "attach", pid: peer.pid, kept });
    return;
  }
  const closed = options.closedToHellos();
  if (closed !== undefined) {
    options.onOutcome({ type: "unreadable", pid: peer.pid, refusal: closed });
    return reply(connection, options, frame, PAYLOAD_PROTOCOL.control, encodeRefused(closed));
  }
  const beganMs = options.now();
  const outcome = await options.hello.handle(frame, peer);
  const { refusal, connectionId } = outcome;
  const bytes = encodeResponse(frame, { payloadProtocol: PAYLOAD_PROTOCOL.control, payload: outcome.reply });
  const deadline = options.replyDeadline();
  const { handoff } = outcome;
  const replied = handoff ? handoff.run(connection, bytes, deadline) : connection.writeAll(bytes, deadline);
  const durationMs = options.now() - beganMs;
  if (replied instanceof Promise) await replied;
  options.onOutcome({
    type: "hello",
    service: outcome.hello?.serviceName ?? "",
    version: outcome.hello?.wantedVersion ?? "",
    pid: peer.pid,
    refusal,
    connectionId,
    durationMs,
    requestId: frame.requestId,
    given: outcome.given,
  });
}

function reply(
  connection: Connection,
  options: ServeOptions,
  correlation: Correlation,
  payloadProtocol: number,
  payload: Uint8Array,
): MaybePromise<void> {
  return connection.writeAll(encodeResponse(correlation, { payloadProtocol, payload }), options.replyDeadline());
}

type Request = { readonly frame: Frame } | { readonly refusal: Refusal; readonly correlation: Correlation };

/** Frozen reactions to a first frame that cannot be taken (spec: server §5.1). */
const UNREADABLE = {
  framing: refuse("VERSION_UNSUPPORTED", "unsupported framing version"),
  tooLarge: refuse("PEER_REJECTED", "initial Hello frame exceeds 64 KiB"),
  incomplete: refuse("PEER_REJECTED", "incomplete Hello frame"),
  malformed: refuse("PEER_REJECTED", "malformed broker Frame"),
} as const;

async function readRequest(connection: Connection, options: ServeOptions): Promise<Request> {
  const deadline = options.requestDeadline();
  try {
    const pending = readFrameLength(connection, { maxBodyBytes: MAX_FRAME_BODY_BYTES, deadline });
    const length = pending instanceof Promise ? await pending : pending;
    const large = length > MAX_HELLO_BODY_BYTES ? length : 0;
    if (!options.largeFrames.take(large)) return { refusal: UNREADABLE.tooLarge, correlation: NO_CORRELATION };
    try {
      return await readFrame(connection, length, deadline);
    } finally {
      options.largeFrames.giveBack(large);
    }
  } catch (error) {
    if (!isBrokerError(error)) throw error;
    if (hasCode(error, "FRAMING_VERSION_UNSUPPORTED"))
      return { refusal: UNREADABLE.framing, correlation: NO_CORRELATION };
    if (hasCode(error, "FRAME_TOO_LARGE")) return { refusal: UNREADABLE.tooLarge, correlation: NO_CORRELATION };
    if (hasCode(error, "MESSAGE_MALFORMED")) return { refusal: UNREADABLE.malformed, correlation: NO_CORRELATION };
    // A peer that is gone gets no reply; one that only fell silent or closed its writing side does.
    if (hasCode(error, "IO_FAILED")) throw error;
    return { refusal: UNREADABLE.incomplete, correlation: NO_CORRELATION };
  }
}

async function readFrame(connection: Connection, length: number, deadline: Deadline): Promise<Request> {
  const pending = readBody(connection, length, deadline);
  const frame = decodeFrame(pending instanceof Promise ? await pending : pending);
  if (length > MAX_HELLO_BODY_BYTES && frame.payloadProtocol !== PAYLOAD_PROTOCOL.admin)
    return { refusal: UNREADABLE.tooLarge, correlation: frame };
  return { frame };
}
