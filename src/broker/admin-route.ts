/** Admin verbs (spec: admin §2). Answered also while Hellos are refused. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { hasCode, reasonOf } from "../base/errors.ts";
import { decodeMessage, encodeMessage } from "../wire/codec.ts";
import { checkEnvelope } from "../wire/envelope.ts";
import {
  AdminReplyKind,
  AdminReplySchema,
  type AdminRequest,
  AdminRequestSchema,
  AdminVerb,
  type Frame,
  FrameKind,
} from "../wire/messages.ts";
import { PAYLOAD_PROTOCOL } from "../wire/payload-protocol.ts";
import { exitOfRelease, type ReleaseReport, renderReleaseJson, renderReleaseText } from "./release-handles.ts";
import { type BrokerSnapshot, renderStatusJson, renderStatusText } from "./status.ts";

export interface AdminRouteOptions {
  readonly snapshot: () => BrokerSnapshot;
  /** Runs after the reply was sent. */
  readonly onShutdown: (request: { drainMs: number | undefined; withBackends: boolean }) => void;
  /** RELEASE_HANDLES. @throws BrokerError OPTION_INVALID */
  readonly releaseHandles: (request: { path: string; timeoutMs: number | undefined }) => Promise<ReleaseReport>;
}

export interface AdminOutcome {
  /** Encoded AdminReply. */
  readonly reply: Uint8Array;
  /** To be called once the reply is on its way. */
  readonly afterReply?: () => void;
}

type Reply = MessageInitShape<typeof AdminReplySchema>;

/** @throws BrokerError FRAME_UNEXPECTED, MESSAGE_MALFORMED: such a connection is closed without a reply (spec: admin §1.1) */
export async function handleAdmin(options: AdminRouteOptions, frame: Frame): Promise<AdminOutcome> {
  checkEnvelope(frame, { kind: FrameKind.REQUEST, payloadProtocol: PAYLOAD_PROTOCOL.admin });
  const request = decodeMessage(AdminRequestSchema, frame.payload);
  const reply = encodeMessage(AdminReplySchema, await answer(options, request));
  if (request.verb !== AdminVerb.SHUTDOWN) return { reply };
  const drainMs = request.drainDeadlineMs === 0n ? undefined : Number(request.drainDeadlineMs);
  return { reply, afterReply: () => options.onShutdown({ drainMs, withBackends: request.withBackends }) };
}

function answer(options: AdminRouteOptions, request: AdminRequest): Reply | Promise<Reply> {
  switch (request.verb) {
    case AdminVerb.STATUS:
      return request.json ? json(renderStatusJson(options.snapshot())) : text(renderStatusText(options.snapshot()));
    case AdminVerb.HEALTHZ:
      return text("ok\n");
    case AdminVerb.READYZ:
      return options.snapshot().acceptingHello ? text("ready\n") : text("not ready\n", 1);
    case AdminVerb.SHUTDOWN:
      return text("broker shutting down\n");
    case AdminVerb.RELEASE_HANDLES:
      return answerRelease(options, request);
    default:
      return text("unsupported admin verb\n", 2);
  }
}

async function answerRelease(options: AdminRouteOptions, request: AdminRequest): Promise<Reply> {
  const timeoutMs = request.timeoutMs === 0n ? undefined : Number(request.timeoutMs);
  try {
    const report = await options.releaseHandles({ path: request.path, timeoutMs });
    const exitCode = exitOfRelease(report);
    return request.json ? { ...json(renderReleaseJson(report)), exitCode } : text(renderReleaseText(report), exitCode);
  } catch (error) {
    if (hasCode(error, "OPTION_INVALID")) return text(`${reasonOf(error)}\n`, 2);
    throw error;
  }
}

function text(body: string, exitCode = 0): Reply {
  return { kind: AdminReplyKind.TEXT, body, exitCode, contentType: "text/plain" };
}

function json(body: object): Reply {
  return { kind: AdminReplyKind.JSON, body: JSON.stringify(body), exitCode: 0, contentType: "application/json" };
}
