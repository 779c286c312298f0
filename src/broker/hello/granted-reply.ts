/**
 * The reply to a granted Hello. To one client after the other a backend's replies are the same but for the connection's id
 * and the handoff token, which both have their place near the end: the last reply is kept, and copied with the two put in.
 * What else differs (request id, keepalive, capabilities, an id that takes a byte more) makes a new one.
 */
import { PROTOCOL_VERSION } from "../../model/negotiate.ts";
import { encodeMessage } from "../../wire/codec.ts";
import { varintBytes, writeVarint } from "../../wire/encode.ts";
import { type Correlation, encodeResponse } from "../../wire/envelope.ts";
import { DEFAULT_KEEPALIVE_SECS } from "../../wire/limits.ts";
import { FrameSchema, HelloReplySchema } from "../../wire/messages.ts";
import { PAYLOAD_PROTOCOL } from "../../wire/payload-protocol.ts";
import type { PreparedHandoff } from "../handoff/handoff-service.ts";
import type { Backend } from "../supervisor/backend.ts";

export interface Granted {
  readonly backend: Pick<Backend, "key" | "identity">;
  /** As the client asked for it; 0: the default. */
  readonly keepaliveSecs: bigint;
  readonly connectionId: bigint;
  readonly handoff: Pick<PreparedHandoff, "token" | "capabilities"> | undefined;
}

/** Complete stream bytes, which are the caller's. */
export type EncodeGranted = (request: Correlation, granted: Granted) => Buffer;

interface Kept {
  readonly bytes: Buffer;
  /** Where the id begins, and how long it is. */
  readonly idAt: number;
  readonly idBytes: number;
  readonly requestId: bigint;
  readonly keepaliveSecs: bigint;
  readonly capabilities: bigint;
}

const NO_TOKEN = new Uint8Array(0);
/** The connection's id follows the token, and its tag is one byte. */
const ID_TAG_BYTES = 1;

export function createGrantedEncoder(): EncodeGranted {
  const replies = new WeakMap<Granted["backend"], Kept>();
  return (request, granted) => {
    const id = Number(granted.connectionId);
    // No two have the same trace.
    const isPlain = request.traceparent === "" && request.tracestate === "" && Number.isSafeInteger(id);
    if (!isPlain) return encodeGranted(request, granted);
    const kept = replies.get(granted.backend);
    if (kept !== undefined && isLike(kept, request, granted, id)) return copy(kept, granted, id);
    const bytes = encodeGranted(request, granted);
    replies.set(granted.backend, keep(bytes, request, granted, id));
    return bytes;
  };
}

function isLike(kept: Kept, { requestId }: Correlation, { keepaliveSecs, handoff }: Granted, id: number): boolean {
  return (
    kept.requestId === requestId &&
    kept.keepaliveSecs === keepaliveSecs &&
    kept.capabilities === (handoff?.capabilities ?? 0n) &&
    kept.idBytes === varintBytes(id)
  );
}

function copy({ bytes: kept, idAt }: Kept, { handoff }: Granted, id: number): Buffer {
  const bytes = Buffer.from(kept);
  writeVarint(bytes, idAt, id);
  if (handoff !== undefined) {
    const token = handoff.token.reveal();
    bytes.set(token, idAt - ID_TAG_BYTES - token.length);
  }
  return bytes;
}

function keep(bytes: Buffer, { requestId }: Correlation, { keepaliveSecs, handoff }: Granted, id: number): Kept {
  // Of the frame only the request's id comes behind the payload, and of the payload nothing behind the connection's.
  const idEnd = bytes.length - encodeMessage(FrameSchema, { requestId }).length;
  const idBytes = varintBytes(id);
  const capabilities = handoff?.capabilities ?? 0n;
  return { bytes: Buffer.from(bytes), idAt: idEnd - idBytes, idBytes, requestId, keepaliveSecs, capabilities };
}

function encodeGranted(request: Correlation, { backend, keepaliveSecs, connectionId, handoff }: Granted): Buffer {
  const payload = encodeMessage(HelloReplySchema, {
    result: {
      case: "negotiated",
      value: {
        negotiatedProtocol: PROTOCOL_VERSION,
        daemonVersion: backend.key.version,
        backendPipe: backend.identity.endpoint.path,
        keepaliveIntervalSecs: keepaliveSecs === 0n ? DEFAULT_KEEPALIVE_SECS : keepaliveSecs,
        connectionId,
        handlePassedToken: handoff?.token.reveal() ?? NO_TOKEN,
        serverCapabilities: handoff?.capabilities ?? 0n,
        warnings: [],
      },
    },
  });
  return encodeResponse(request, { payloadProtocol: PAYLOAD_PROTOCOL.control, payload });
}
