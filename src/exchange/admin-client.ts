/**
 * One admin request to a live broker: connect, make sure it is ours, ask, check the answer (spec: admin §1). Starts
 * nothing; a broker that is not there is BROKER_UNAVAILABLE.
 */
import { Deadline } from "../base/clock.ts";
import { BrokerError, isBrokerError } from "../base/errors.ts";
import { closedByPeer, vacancyOf } from "../base/peer-errno.ts";
import type { Connection, Env, Platform, ProcessHandle } from "../platform/ports/index.ts";
import { decodeMessage, encodeMessage } from "../wire/codec.ts";
import { checkEnvelope, decodeFrame, encodeRequest, frameUnexpected } from "../wire/envelope.ts";
import { MAX_FRAME_BODY_BYTES } from "../wire/limits.ts";
import { AdminReplyKind, AdminReplySchema, AdminRequestSchema, type AdminVerb, FrameKind } from "../wire/messages.ts";
import { PAYLOAD_PROTOCOL } from "../wire/payload-protocol.ts";
import { readFrameBody } from "./frame-io.ts";

/** Default time for the whole exchange; RUNNING_PROCESS_BROKER_CLIENT_TIMEOUT_MS overrides it. Frozen. */
export const DEFAULT_ADMIN_TIMEOUT_MS = 30_000;

export interface AdminQuery {
  readonly verb: AdminVerb;
  /** STATUS only. */
  readonly json?: boolean;
  /** BACKEND_HEALTH only. */
  readonly serviceName?: string;
  /** DIAGNOSE only. */
  readonly outputPath?: string;
  /** SHUTDOWN only: how long work in flight may go on. Default: the broker's. */
  readonly drainDeadlineMs?: number;
  /** SHUTDOWN only: also stop the backends the broker launched. */
  readonly withBackends?: boolean;
  /** RELEASE_HANDLES only: absolute and normalised. */
  readonly path?: string;
  /** RELEASE_HANDLES: how long each backend may take; RESTART: how long it may take. Default: the broker's. */
  readonly timeoutMs?: number;
}

export interface AdminAnswer {
  readonly kind: "text" | "json" | "openmetrics";
  readonly body: string;
  /** What the command line is to exit with. */
  readonly exitCode: number;
  readonly contentType: string;
  /** SHUTDOWN: the broker confirms `withBackends`. Absent from brokers that skip it: of an earlier version or another make. */
  readonly withBackends?: true;
  /** Pid of the process that listens, from the kernel; whoever bound an inherited listener; 0 when unknown. */
  readonly peerPid: number;
  /** Only with `holdPeer`, and where the kernel can: that process, held. The caller closes it. */
  readonly peer: ProcessHandle | undefined;
}

export interface AdminRequestOptions {
  /** Default: `adminTimeoutMs({})` from now. */
  readonly deadline?: Deadline;
  readonly holdPeer?: boolean;
}

/** Milliseconds for one exchange; anything but a positive whole number in the variable counts as unset. */
export function adminTimeoutMs(env: Env): number {
  const text = env.RUNNING_PROCESS_BROKER_CLIENT_TIMEOUT_MS?.trim() ?? "";
  const ms = /^\d{1,15}$/.test(text) ? Number(text) : 0;
  return ms > 0 ? ms : DEFAULT_ADMIN_TIMEOUT_MS;
}

/**
 * @throws BrokerError BROKER_UNAVAILABLE, PEER_UNVERIFIED, CONNECTION_CLOSED, DEADLINE_EXCEEDED, IO_FAILED,
 * PATH_TOO_LONG, ENDPOINT_INVALID, FRAME_UNEXPECTED, FRAME_TOO_LARGE, MESSAGE_MALFORMED
 */
export async function adminRequest(
  platform: Pick<Platform, "clock" | "transport" | "user">,
  endpoint: string,
  query: AdminQuery,
  options: AdminRequestOptions = {},
): Promise<AdminAnswer> {
  const deadline = options.deadline ?? Deadline.after(platform.clock, DEFAULT_ADMIN_TIMEOUT_MS);
  const connection = await dial(platform, endpoint, deadline);
  try {
    const { peer } = connection;
    const { pid } = peer;
    // Before anything is sent: whoever squats on the path learns nothing and gets no say.
    if (!platform.user.owns(peer)) {
      throw new BrokerError(
        "PEER_UNVERIFIED",
        `the process listening on ${endpoint} belongs to ${platform.user.ownerText(peer)}, not to ${platform.user.identity}`,
        { details: { path: endpoint, pid } },
      );
    }
    const answer = await exchange(connection, endpoint, query, deadline);
    return { ...answer, peerPid: pid, peer: options.holdPeer ? connection.openPeer() : undefined };
  } finally {
    connection.close();
  }
}

async function dial(platform: Pick<Platform, "transport">, endpoint: string, deadline: Deadline): Promise<Connection> {
  try {
    return await platform.transport.connect(endpoint, deadline);
  } catch (error) {
    const vacancy = vacancyOf(error);
    if (vacancy === undefined || !isBrokerError(error)) throw error;
    const why = vacancy === "no-file" ? "nothing is at" : "its socket is stale: no process listens on";
    throw new BrokerError("BROKER_UNAVAILABLE", `no broker is running: ${why} ${endpoint}`, {
      details: { ...error.details, path: endpoint },
      cause: error,
    });
  }
}

const ADMIN = { payloadProtocol: PAYLOAD_PROTOCOL.admin } as const;
/** One request per connection, so any id will do; a reply with another one is not to ours. */
const REQUEST_ID = 1n;

async function exchange(
  connection: Connection,
  endpoint: string,
  query: AdminQuery,
  deadline: Deadline,
): Promise<Omit<AdminAnswer, "peerPid" | "peer">> {
  const body = await roundTrip(connection, endpoint, encodeQuery(query), deadline);
  const frame = decodeFrame(body);
  checkEnvelope(frame, { kind: FrameKind.RESPONSE, ...ADMIN });
  if (frame.requestId !== REQUEST_ID)
    throw frameUnexpected("request_id", `request_id ${frame.requestId}, expected ${REQUEST_ID}`);
  const reply = decodeMessage(AdminReplySchema, frame.payload);
  const { exitCode, contentType, withBackends } = reply;
  return { kind: kindOf(reply.kind), body: reply.body, exitCode, contentType, ...(withBackends && { withBackends }) };
}

function encodeQuery(query: AdminQuery): Buffer {
  const payload = encodeMessage(AdminRequestSchema, {
    verb: query.verb,
    json: query.json ?? false,
    serviceName: query.serviceName ?? "",
    outputPath: query.outputPath ?? "",
    drainDeadlineMs: BigInt(query.drainDeadlineMs ?? 0),
    withBackends: query.withBackends ?? false,
    path: query.path ?? "",
    timeoutMs: BigInt(query.timeoutMs ?? 0),
  });
  return encodeRequest({ ...ADMIN, payload, requestId: REQUEST_ID });
}

async function roundTrip(
  connection: Connection,
  endpoint: string,
  request: Buffer,
  deadline: Deadline,
): Promise<Buffer> {
  try {
    await connection.writeAll(request, deadline);
    return await readFrameBody(connection, { maxBodyBytes: MAX_FRAME_BODY_BYTES, deadline });
  } catch (error) {
    if (!isBrokerError(error)) throw error;
    if (error.code === "DEADLINE_EXCEEDED")
      throw new BrokerError("DEADLINE_EXCEEDED", `the broker on ${endpoint} did not answer in time`, {
        details: { path: endpoint },
        cause: error,
      });
    if (closedByPeer(error))
      throw new BrokerError("CONNECTION_CLOSED", `the broker on ${endpoint} closed the connection before it answered`, {
        details: { path: endpoint },
        cause: error,
      });
    throw error;
  }
}

function kindOf(kind: AdminReplyKind): AdminAnswer["kind"] {
  switch (kind) {
    case AdminReplyKind.JSON:
      return "json";
    case AdminReplyKind.OPENMETRICS:
      return "openmetrics";
    default:
      return "text";
  }
}
