/** Admin verbs (spec: admin §2). Answered also while Hellos are refused. */
import { BrokerError, ERROR_TABLE, hasCode, isBrokerError, reasonOf } from "../../base/errors.ts";
import { renderOpenMetrics } from "../../model/open-metrics.ts";
import { decodeMessage, encodeMessage } from "../../wire/codec.ts";
import { type EnvelopeFault, envelopeFault } from "../../wire/envelope.ts";
import {
  AdminReplyKind,
  AdminReplySchema,
  type AdminRequest,
  AdminRequestSchema,
  AdminVerb,
  type Frame,
  FrameKind,
} from "../../wire/messages.ts";
import { PAYLOAD_PROTOCOL } from "../../wire/payload-protocol.ts";
import { MOVED_VERBS } from "../../wire/private-numbers.ts";
import type { RestartReport } from "../events/reports.ts";
import { renderBackendHealth, renderConfig, renderDump, renderInstances } from "./bodies.ts";
import type { BrokerSnapshot } from "./broker-snapshot.ts";
import type { DiagnoseResult } from "./diagnose.ts";
import { exitOfRelease, type ReleaseReport, renderReleaseJson, renderReleaseText } from "./release-handles.ts";
import { renderStatusJson, renderStatusText } from "./status-body.ts";

/** Where answers come from. */
export interface AdminSources {
  readonly snapshot: () => BrokerSnapshot;
  /** Writes the archive that DIAGNOSE asks for. Never rejects. */
  readonly diagnose: (snapshot: BrokerSnapshot, outputPath: string) => Promise<DiagnoseResult>;
}

export interface AdminRouteOptions extends AdminSources {
  /** Runs after the reply was sent. */
  readonly onShutdown: (request: { drainMs: number | undefined; withBackends: boolean }) => void;
  /** RELEASE_HANDLES. @throws BrokerError OPTION_INVALID */
  readonly releaseHandles: (request: { path: string; timeoutMs: number | undefined }) => Promise<ReleaseReport>;
  /** RESTART. @throws BrokerError RESTART_FAILED, DEADLINE_EXCEEDED */
  readonly restart: (request: { timeoutMs: number | undefined }) => Promise<RestartReport>;
}

export interface AdminOutcome {
  /** Encoded AdminReply. */
  readonly reply: Uint8Array;
  /** To be called once the reply is on its way. */
  readonly afterReply?: () => void;
}

/** An AdminReply before it is encoded. */
export interface AdminAnswerInit {
  readonly kind: AdminReplyKind;
  readonly body: string;
  readonly exitCode: number;
  readonly contentType: string;
}

export type AdminQuestion = Pick<AdminRequest, "verb" | "json" | "serviceName" | "outputPath">;

/** @throws BrokerError FRAME_UNEXPECTED, MESSAGE_MALFORMED: such a connection is closed without a reply (spec: admin §1.1) */
export async function handleAdmin(options: AdminRouteOptions, frame: Frame): Promise<AdminOutcome> {
  checkFrame(frame);
  const request = decodeMessage(AdminRequestSchema, frame.payload);
  if (request.verb === AdminVerb.SHUTDOWN) return answerShutdown(options, request);
  return { reply: encodeMessage(AdminReplySchema, await answer(options, request)) };
}

function answer(options: AdminRouteOptions, request: AdminRequest): Promise<AdminAnswerInit> {
  if (request.verb === AdminVerb.RELEASE_HANDLES) return answerRelease(options, request);
  if (request.verb === AdminVerb.RESTART) return answerRestart(options, request);
  return answerAdmin(options, request);
}

async function answerShutdown(options: AdminRouteOptions, request: AdminRequest): Promise<AdminOutcome> {
  const { withBackends } = request;
  const drainMs = request.drainDeadlineMs === 0n ? undefined : Number(request.drainDeadlineMs);
  // Without the confirmation a client could not tell this broker from one that skipped the field.
  const reply = encodeMessage(AdminReplySchema, { ...(await answerAdmin(options, request)), withBackends });
  return { reply, afterReply: () => options.onShutdown({ drainMs, withBackends }) };
}

function checkFrame(frame: Frame): void {
  const fault = envelopeFault(frame, { kind: FrameKind.REQUEST, payloadProtocol: PAYLOAD_PROTOCOL.admin });
  if (fault === undefined) return;
  throw new BrokerError("FRAME_UNEXPECTED", FRAME_FAULTS[fault](frame), { details: { check: fault } });
}

/** Frozen texts; they end in the log, because such a frame gets no reply. */
const FRAME_FAULTS: Readonly<Record<EnvelopeFault, (frame: Frame) => string>> = {
  envelope_version: (frame) => `unsupported admin frame envelope_version ${frame.envelopeVersion}`,
  kind: (frame) => `admin frame kind must be REQUEST, got ${frame.kind}`,
  payload_protocol: (frame) => `admin frame payload_protocol must be 0xAD01, got ${frame.payloadProtocol}`,
  payload_encoding: (frame) => `admin frame payload must not be compressed, got ${frame.payloadEncoding}`,
};

/** The answer to one verb. Also the compat binary's, when it has no broker to ask. */
export async function answerAdmin(sources: AdminSources, request: AdminQuestion): Promise<AdminAnswerInit> {
  // Looking costs system calls, which only those pay that ask for what was seen.
  const { snapshot } = sources;
  switch (request.verb) {
    case AdminVerb.STATUS:
      return request.json ? json(renderStatusJson(snapshot())) : text(renderStatusText(snapshot()));
    case AdminVerb.DUMP:
      return json(renderDump(snapshot()));
    case AdminVerb.LIST_INSTANCES:
      return json(renderInstances(snapshot()));
    case AdminVerb.HEALTHZ:
      return text("ok\n");
    case AdminVerb.READYZ:
      return snapshot().acceptingHello ? text("ready\n") : text("not ready\n", 1);
    case AdminVerb.BACKEND_HEALTH:
      return json(renderBackendHealth(snapshot(), request.serviceName));
    case AdminVerb.CONFIG:
      return json(renderConfig(snapshot()));
    case AdminVerb.DIAGNOSE: {
      const { body, exitCode } = await sources.diagnose(snapshot(), request.outputPath);
      return { ...json(body), exitCode };
    }
    case AdminVerb.METRICS:
      return openMetrics(renderOpenMetrics(snapshot().metrics()));
    case AdminVerb.SHUTDOWN:
      return text("broker shutting down\n");
    default:
      return text(`${unsupported(request.verb)}\n`, 2);
  }
}

/** The frozen text, and for a verb of ours that has moved its number of today. */
function unsupported(verb: number): string {
  const moved = MOVED_VERBS.get(verb);
  if (moved === undefined) return "unsupported admin verb";
  return `unsupported admin verb ${verb}: ${AdminVerb[moved]} of running-process-broker is ${moved}`;
}

async function answerRelease(options: AdminRouteOptions, request: AdminRequest): Promise<AdminAnswerInit> {
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

async function answerRestart(options: AdminRouteOptions, request: AdminRequest): Promise<AdminAnswerInit> {
  const timeoutMs = request.timeoutMs === 0n ? undefined : Number(request.timeoutMs);
  try {
    const { pid, version, backends, durationMs, switchMs } = await options.restart({ timeoutMs });
    return json({
      schema_version: 1,
      command: "restart",
      broker_pid: pid,
      version,
      backends,
      duration_ms: Math.round(durationMs),
      switch_ms: Math.round(switchMs),
    });
  } catch (error) {
    if (!isBrokerError(error)) throw error;
    const body = { schema_version: 1, command: "restart", error: { code: error.code, reason: error.reason } };
    return { ...json(body), exitCode: ERROR_TABLE[error.code].exit };
  }
}

function text(body: string, exitCode = 0): AdminAnswerInit {
  return { kind: AdminReplyKind.TEXT, body, exitCode, contentType: "text/plain" };
}

function json(body: object): AdminAnswerInit {
  return { kind: AdminReplyKind.JSON, body: JSON.stringify(body), exitCode: 0, contentType: "application/json" };
}

function openMetrics(body: string): AdminAnswerInit {
  return { kind: AdminReplyKind.OPENMETRICS, body, exitCode: 0, contentType: "application/openmetrics-text" };
}
