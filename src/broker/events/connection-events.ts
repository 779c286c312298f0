/** What is said of connections and handoffs: there is one for each Hello. */
import { reasonOf } from "../../base/errors.ts";
import type { BackendKey } from "../../model/backend-key.ts";
import { FALLBACK_REASONS, type FallbackReason } from "../../model/handoff-policy.ts";
import { shortened } from "../../model/names.ts";
import type { BrokerEvent } from "./broker-event.ts";
import { keyName } from "./key-name.ts";
import type { ConnectionOutcome, HandoffReport } from "./reports.ts";

export interface ConnectionEvents {
  connection(outcome: ConnectionOutcome): void;
  handoff(report: HandoffReport): void;
  handoffSkipped(key: BackendKey, reason: FallbackReason): void;
}

export function createConnectionEvents(emit: (event: BrokerEvent) => void): ConnectionEvents {
  return {
    connection: (outcome) => emitConnection(emit, outcome),
    handoff: (report) => emitHandoff(emit, report),
    handoffSkipped: (key, reason) => {
      // Nothing was offered, so nothing was lost.
      if (reason === "client-unsupported") return;
      emit({
        type: "handoff-skipped",
        level: "debug",
        message: `no handoff to ${keyName(key)}: ${reason}`,
        ...key,
        code: reason,
        reason: FALLBACK_REASONS[reason].about,
      });
    },
  };
}

/** Of a backend's own words. */
const DETAIL_CHARS = 256;

/** What completes is the rule and stays quiet; what falls back names its stage and reason. */
function emitHandoff(
  emit: (event: BrokerEvent) => void,
  { key, connectionId, direct, outcome, micros }: HandoffReport,
): void {
  const mode = direct ? "direct" : "v1";
  // Of the rule there is one for each connection: written out, because copying fields costs more than all the rest.
  if (outcome.kind === "completed") {
    emit({
      type: "handoff-completed",
      level: "debug",
      message: `handed a connection to ${keyName(key)} in ${micros} us`,
      instanceId: key.instanceId,
      service: key.service,
      version: key.version,
      connection_id: connectionId.toString(),
      mode,
      micros,
    });
    return;
  }
  const { stage, reason, backend, severed } = outcome;
  const detail = shortened(outcome.detail, DETAIL_CHARS);
  emit({
    type: "handoff-fallback",
    level: "info",
    message: `handoff fallback: ${keyName(key)}, ${stage}: ${detail}`,
    ...key,
    connection_id: connectionId.toString(),
    mode,
    micros,
    stage,
    code: reason,
    reason,
    backend,
    severed,
    detail,
  });
}

function emitConnection(emit: (event: BrokerEvent) => void, outcome: ConnectionOutcome): void {
  switch (outcome.type) {
    case "peer-rejected":
      return emit({
        type: "peer-rejected",
        level: "warn",
        message: `dropped a peer that is not us: pid ${outcome.pid}, uid ${outcome.identity}`,
        pid: outcome.pid,
        identity: outcome.identity,
      });
    case "unreadable":
      return emit({
        type: "request-refused",
        level: "debug",
        message: `refused pid ${outcome.pid}: ${outcome.refusal.reason}`,
        pid: outcome.pid,
        code: outcome.refusal.code,
        reason: outcome.refusal.reason,
      });
    case "admin":
      return emit({
        type: "admin-served",
        level: "debug",
        message: `served an admin verb to pid ${outcome.pid}`,
        pid: outcome.pid,
      });
    case "attach":
      return emit({
        type: outcome.kept ? "control-attached" : "control-refused",
        level: outcome.kept ? "info" : "warn",
        message: outcome.kept
          ? `pid ${outcome.pid} has its control channel back`
          : `refused a control channel to pid ${outcome.pid}, which is no backend of this broker`,
        pid: outcome.pid,
      });
    case "dropped":
      return emit({
        type: "connection-dropped",
        level: "debug",
        message: `connection ended early: ${reasonOf(outcome.error)}`,
        error: reasonOf(outcome.error),
      });
    case "hello": {
      const { service, version, pid, refusal, connectionId, given } = outcome;
      const connection_id = connectionId.toString();
      const request_id = outcome.requestId.toString();
      if (refusal === undefined)
        return emit({
          type: "hello-accepted",
          level: "debug",
          message: `${service} ${version} for pid ${pid}`,
          service,
          version,
          pid,
          connection_id,
          request_id,
          how: given?.how,
          backend_pid: given?.pid,
        });
      // What was refused need not be a name.
      const asked = { service: shortened(service), version: shortened(version) };
      return emit({
        type: "hello-refused",
        level: "info",
        message: `refused ${asked.service} ${asked.version} to pid ${pid}: ${refusal.reason}`,
        ...asked,
        pid,
        connection_id,
        code: refusal.code,
        reason: refusal.reason,
      });
    }
  }
}
