/**
 * Handing a client's connection to its backend (spec: handoff; docs/protocol.md, "Handoff"). Decides for each Hello,
 * issues the token, and after the reply runs the stages of model/handoff-stages.ts. A client that is not handed over
 * reconnects to `backend_pipe`; nothing here is ever an error to it.
 *
 * Ownership: the broker keeps its duplicate until the backend has acknowledged. If the acknowledgement does not come it
 * shuts the connection down, which ends every duplicate wherever it is: there is never more than one owner.
 */
import { type Clock, Deadline } from "../base/clock.ts";
import { reasonOf } from "../base/errors.ts";
import { ACK_DEADLINE_MS, createAckRegistry } from "../model/ack-registry.ts";
import type { HandoffSettings } from "../model/exec-settings.ts";
import { createHandoffPolicy, type FallbackReason } from "../model/handoff-policy.ts";
import { type HandoffOutcome, runHandoff, UNIX_HANDOFF, type UnixStage } from "../model/handoff-stages.ts";
import { createHandoffTokenStore, type HandoffToken } from "../model/handoff-tokens.ts";
import type { Connection, Platform } from "../platform/ports.ts";
import { CAPABILITY, hasCapability } from "../wire/capabilities.ts";
import { encodeReadyEvent } from "../wire/handoff.ts";
import type { Backend } from "./backend.ts";
import type { HandoffWay } from "./handoff-way.ts";
import type { BackendKey } from "./launcher.ts";

export interface HandoffRequest {
  readonly backend: Backend;
  readonly settings: HandoffSettings;
  readonly clientCapabilities: bigint;
  readonly connectionId: bigint;
}

/** A handoff that will be attempted once the reply has been sent; its token and bits go into the reply. */
export interface PreparedHandoff {
  readonly backend: Backend;
  readonly way: HandoffWay;
  readonly token: HandoffToken;
  readonly correlationId: bigint;
  /** The client keeps the connection and waits for no event. */
  readonly direct: boolean;
  /** For `Negotiated.server_capabilities`. */
  readonly capabilities: bigint;
}

export interface HandoffReport {
  readonly key: BackendKey;
  readonly connectionId: bigint;
  readonly direct: boolean;
  readonly outcome: HandoffOutcome<UnixStage>;
  readonly micros: number;
}

export interface HandoffService {
  /** Undefined: the client reconnects, for the reason given to `onSkip`. */
  prepare(request: HandoffRequest): PreparedHandoff | undefined;
  /** To be called when the reply could not be sent. */
  cancel(prepared: PreparedHandoff): void;
  /** Runs a prepared handoff to its end. Borrows the connection, which the caller closes in any case. Never rejects. */
  run(connection: Connection, prepared: PreparedHandoff): Promise<void>;
}

export interface HandoffServiceOptions {
  readonly platform: Pick<Platform, "clock" | "host">;
  /** The broker is short of descriptors. */
  readonly fdPressure: () => boolean;
  readonly onOutcome: (report: HandoffReport) => void;
  readonly onSkip?: (key: BackendKey, reason: FallbackReason) => void;
}

/** For the one event the broker may write to the client. */
const EVENT_MS = 1_000;

export function createHandoffService(options: HandoffServiceOptions): HandoffService {
  const { clock, host } = options.platform;
  const tokens = createHandoffTokenStore({ randomBytes: (length) => host.randomBytes(length) });
  const acks = createAckRegistry({ tokens });
  const policy = createHandoffPolicy();

  return {
    prepare({ backend, settings, clientCapabilities, connectionId }) {
      const nowMs = clock.monotonicMs();
      const way = backend.handoffWay();
      const decision = policy.decide(
        {
          key: backend.identity.endpoint.path,
          clientSupports: hasCapability(clientCapabilities, "handlePassing"),
          transportAvailable: way !== undefined,
          settings,
          fdPressure: options.fdPressure(),
          adopted: false,
        },
        nowMs,
      );
      if (!decision.ok || way === undefined) {
        if (!decision.ok) options.onSkip?.(backend.key, decision.reason);
        return undefined;
      }
      const issued = tokens.issue(nowMs);
      if (!issued.ok) return undefined;
      const direct = way.direct && hasCapability(clientCapabilities, "handoffDirect");
      acks.register(issued.token, { serviceName: backend.key.service, backendPid: backend.identity.pid }, nowMs);
      const capabilities = CAPABILITY.handlePassing | (direct ? CAPABILITY.handoffDirect : 0n);
      return { backend, way, token: issued.token, correlationId: connectionId, direct, capabilities };
    },

    cancel(prepared) {
      acks.abandon(prepared.token);
    },

    async run(connection, prepared) {
      const startedMs = clock.monotonicMs();
      const outcome = await handOver(connection, prepared, { clock, acks });
      const micros = Math.round((clock.monotonicMs() - startedMs) * 1000);
      const key = prepared.backend.identity.endpoint.path;
      if (outcome.kind === "completed") policy.recordSuccess(key);
      else policy.recordFailure(key, outcome.reason, clock.monotonicMs());
      await tellClient(connection, prepared, outcome, clock);
      options.onOutcome({
        key: prepared.backend.key,
        connectionId: prepared.correlationId,
        direct: prepared.direct,
        outcome,
        micros,
      });
    },
  };
}

async function handOver(
  connection: Connection,
  prepared: PreparedHandoff,
  { clock, acks }: { clock: Clock; acks: ReturnType<typeof createAckRegistry> },
): Promise<HandoffOutcome<UnixStage>> {
  const { token, correlationId, backend } = prepared;
  const exchange = prepared.way.open({
    handleValue: 0n,
    token: token.reveal(),
    serviceName: backend.key.service,
    correlationId,
  });
  const deadline = Deadline.after(clock, ACK_DEADLINE_MS);
  try {
    return await runHandoff(UNIX_HANDOFF, {
      send: () => exchange.send(connection.fd, deadline),
      awaitAck: () => exchange.awaitAck(deadline),
      acknowledge: () => acks.acknowledge(token, clock.monotonicMs()),
      revoke: () => void acks.abandon(token),
      sever: () => connection.shutdown(),
    });
  } finally {
    exchange.close();
  }
}

/**
 * v1: the ready event on success, nothing otherwise; the closed connection tells the client. Direct: nothing on success;
 * after a refusal the event with accepted = false, which promises that nothing was read. A severed connection is dead.
 */
async function tellClient(
  connection: Connection,
  prepared: PreparedHandoff,
  outcome: HandoffOutcome<UnixStage>,
  clock: Clock,
): Promise<void> {
  const completed = outcome.kind === "completed";
  if (prepared.direct === completed || (!completed && outcome.severed)) return;
  const errorDetail = completed ? "" : outcome.detail;
  const event = encodeReadyEvent({
    token: prepared.token.reveal(),
    accepted: completed,
    errorDetail,
    correlationId: prepared.correlationId,
  });
  // A client that is gone needs no telling.
  await connection.writeAll(event, Deadline.after(clock, EVENT_MS)).catch(reasonOf);
}
