/**
 * One Hello and its reply on a fresh connection (spec: client §2 and §3). The checks of the reply run in the frozen
 * order, and one is ours: the reply must be to our request.
 *
 * A reply to a Hello that the broker could not or would not read has request id 0; only a refusal can be that.
 */
import { BrokerError } from "../base/errors.ts";
import { closedByPeer } from "../base/peer-errno.ts";
import { readFrameBody } from "../exchange/frame-io.ts";
import type { Connection } from "../platform/ports/index.ts";
import { hasCapability } from "../wire/capabilities.ts";
import { decodeMessage, encodeMessage } from "../wire/codec.ts";
import { checkEnvelope, decodeFrame, encodeRequest, frameUnexpected } from "../wire/envelope.ts";
import { MAX_FRAME_BODY_BYTES } from "../wire/limits.ts";
import { FrameKind, type HelloReply, HelloReplySchema, HelloSchema, type Negotiated } from "../wire/messages.ts";
import { PAYLOAD_PROTOCOL } from "../wire/payload-protocol.ts";
import { LIBRARY_NAME, LIBRARY_VERSION } from "./library.ts";
import type { ConnectOptions, NegotiatedFacts } from "./options.ts";
import { refusal } from "./refused.ts";
import type { TimeBox } from "./time-box.ts";

const CONTROL = { payloadProtocol: PAYLOAD_PROTOCOL.control } as const;
const PROTOCOL_VERSION = 1;
const HELLO_REQUEST_ID = 1n;
/** The text in the Hello message, not the frame's id. */
const HELLO_REQUEST_NAME = "hello";

export interface Negotiation {
  readonly endpoint: string;
  readonly facts: NegotiatedFacts;
  /** The broker hands this very connection to the backend; undefined: dial `endpoint`. */
  readonly handoff: OfferedHandoff | undefined;
}

export interface OfferedHandoff {
  readonly token: Uint8Array;
  /** No ready event comes, and what was sent after the Hello is for the backend. */
  readonly direct: boolean;
}

export interface HelloOptions extends ConnectOptions {
  readonly pid: number;
  /** Bits to offer. */
  readonly capabilities: bigint;
  /** Bytes for the backend, sent along with the Hello. */
  readonly pipelined?: Uint8Array | undefined;
}

/**
 * Borrows the connection, which is of no use afterwards unless it is handed over.
 *
 * @throws BrokerError the code of a refusal; CONNECTION_CLOSED, FRAME_UNEXPECTED, MESSAGE_MALFORMED, FRAME_TOO_LARGE,
 * FRAMING_VERSION_UNSUPPORTED, ENDPOINT_INVALID, DEADLINE_EXCEEDED, ABORTED, IO_FAILED
 */
export async function negotiate(connection: Connection, options: HelloOptions, box: TimeBox): Promise<Negotiation> {
  const hello =
    options.pipelined === undefined ? encodeHello(options) : Buffer.concat([encodeHello(options), options.pipelined]);
  const body = await box.run("waiting for the broker to answer the Hello", (deadline) =>
    exchange(connection, hello, deadline),
  );
  const reply = decodeReply(body);
  if (reply.result.case === "refused") throw refusal(reply.result.value);
  if (reply.result.case === undefined)
    throw new BrokerError("MESSAGE_MALFORMED", "the broker's HelloReply is neither negotiated nor refused", {
      details: { check: "result" },
    });
  const negotiated = reply.result.value;
  if (negotiated.backendPipe === "")
    throw new BrokerError("ENDPOINT_INVALID", "the broker named an empty backend endpoint", {
      details: { check: "backend_pipe" },
    });
  return {
    endpoint: negotiated.backendPipe,
    facts: factsOf(negotiated),
    handoff: handoffOf(negotiated, options.capabilities),
  };
}

/** In effect only if both sides set the bit and there is a token (spec: wire §7). */
function handoffOf({ serverCapabilities, handlePassedToken }: Negotiated, offered: bigint): OfferedHandoff | undefined {
  const agreed = serverCapabilities & offered;
  if (!hasCapability(agreed, "handlePassing") || handlePassedToken.length === 0) return undefined;
  return { token: handlePassedToken, direct: hasCapability(agreed, "handoffDirect") };
}

function encodeHello(options: HelloOptions): Buffer {
  const payload = encodeMessage(HelloSchema, {
    clientMinProtocol: PROTOCOL_VERSION,
    clientMaxProtocol: PROTOCOL_VERSION,
    serviceName: options.service,
    wantedVersion: options.version,
    clientVersion: options.clientVersion ?? "",
    clientCapabilities: options.capabilities,
    requestId: HELLO_REQUEST_NAME,
    peerPid: options.pid,
    clientLibName: options.libName ?? LIBRARY_NAME,
    clientLibVersion: options.libVersion ?? LIBRARY_VERSION,
    clientKeepaliveSecs: BigInt(options.keepaliveSecs ?? 0),
  });
  return encodeRequest({
    ...CONTROL,
    payload,
    requestId: HELLO_REQUEST_ID,
    ...(options.traceparent !== undefined && { traceparent: options.traceparent }),
    ...(options.tracestate !== undefined && { tracestate: options.tracestate }),
  });
}

async function exchange(connection: Connection, hello: Buffer, deadline: TimeBox["deadline"]): Promise<Buffer> {
  try {
    await send(connection, hello, deadline);
    return await readFrameBody(connection, { maxBodyBytes: MAX_FRAME_BODY_BYTES, deadline });
  } catch (error) {
    if (!closedByPeer(error)) throw error;
    throw new BrokerError("CONNECTION_CLOSED", "the broker closed the connection before it answered the Hello", {
      cause: error,
    });
  }
}

/** A broker that refuses without reading has closed its side already; what it said is still there to be read. */
async function send(connection: Connection, hello: Buffer, deadline: TimeBox["deadline"]): Promise<void> {
  try {
    await connection.writeAll(hello, deadline);
  } catch (error) {
    if (!closedByPeer(error)) throw error;
  }
}

function decodeReply(body: Buffer): HelloReply {
  const frame = decodeFrame(body);
  checkEnvelope(frame, { kind: FrameKind.RESPONSE, ...CONTROL });
  const { requestId } = frame;
  if (requestId !== HELLO_REQUEST_ID && requestId !== 0n) throw wrongId(requestId);
  const reply = decodeMessage(HelloReplySchema, frame.payload);
  if (requestId === 0n && reply.result.case !== "refused") throw wrongId(requestId);
  return reply;
}

function wrongId(got: bigint): BrokerError {
  return frameUnexpected("request_id", `request_id ${got}, expected ${HELLO_REQUEST_ID}`);
}

function factsOf(negotiated: Negotiated): NegotiatedFacts {
  return {
    protocol: negotiated.negotiatedProtocol,
    daemonVersion: negotiated.daemonVersion,
    warnings: negotiated.warnings,
    serverCapabilities: negotiated.serverCapabilities,
    keepaliveSecs: Number(negotiated.keepaliveIntervalSecs),
    connectionId: negotiated.connectionId,
  };
}
