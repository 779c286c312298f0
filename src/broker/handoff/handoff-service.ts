/**
 * Handing a client's connection to its backend (spec: handoff; docs/protocol.md, "Handoff"). Decides for each Hello,
 * issues the token, and runs the stages of model/handoff-stages.ts. A client that is not handed over reconnects to
 * `backend_pipe`; nothing here is ever an error to it.
 *
 * The reply to the Hello goes in front of a v1 handoff. In direct mode it travels with the offer, and the backend writes
 * it in one piece with its first answer, which spares the client one waking and the broker one system call; when the
 * backend does not take the connection, the broker writes it after all.
 *
 * Ownership: the broker keeps its duplicate until the backend has acknowledged. If the acknowledgement does not come it
 * shuts the connection down, which ends every duplicate wherever it is: there is never more than one owner.
 */
import { type Clock, Deadline } from "../../base/clock.ts";
import { isBrokerError } from "../../base/errors.ts";
import { ACK_DEADLINE_MS, createAckRegistry } from "../../model/ack-registry.ts";
import type { BackendKey } from "../../model/backend-key.ts";
import { createHandoffPolicy, type FallbackReason } from "../../model/handoff-policy.ts";
import { type HandoffOutcome, runHandoff, UNIX_HANDOFF, type UnixStage } from "../../model/handoff-stages.ts";
import { createHandoffTokenStore, type HandoffToken } from "../../model/handoff-tokens.ts";
import type { BackendIdentity } from "../../model/identity.ts";
import type { ServiceDefinition } from "../../model/service-definition.ts";
import type { Connection, Platform } from "../../platform/ports/index.ts";
import { CAPABILITY, hasCapability } from "../../wire/capabilities.ts";
import { encodeReadyEvent } from "../../wire/handoff.ts";
import type { HandoffReport } from "../events/reports.ts";
import type { HandoffExchange, HandoffWay } from "./handoff-transport.ts";

/** The backend that a connection goes to. */
export interface HandoffTarget {
  readonly key: BackendKey;
  readonly identity: BackendIdentity;
  handoffWay(): HandoffWay | undefined;
}

export interface HandoffRequest {
  readonly backend: HandoffTarget;
  /** What it is run by at this moment. */
  readonly definition: Pick<ServiceDefinition, "exec" | "handoff">;
  readonly clientCapabilities: bigint;
  readonly connectionId: bigint;
}

/** A handoff that will be attempted; its token and bits go into the reply. */
export interface PreparedHandoff {
  readonly backend: HandoffTarget;
  readonly way: HandoffWay;
  readonly token: HandoffToken;
  readonly correlationId: bigint;
  /** The client keeps the connection and waits for no event. */
  readonly direct: boolean;
  /** The backend gets the connection without O_NONBLOCK. */
  readonly blocking: boolean;
  /** For `Negotiated.server_capabilities`. */
  readonly capabilities: bigint;
}

export interface HandoffService {
  /** Undefined: the client reconnects, for the reason given to `onSkip`. */
  prepare(request: HandoffRequest): PreparedHandoff | undefined;
  /**
   * Runs a prepared handoff to its end, sending the reply (stream bytes) included. Borrows the connection, which the
   * caller closes in any case.
   *
   * @throws BrokerError DEADLINE_EXCEEDED, IO_FAILED when the reply could not be sent
   */
  run(
    connection: Connection,
    prepared: PreparedHandoff,
    options: { readonly reply: Uint8Array; readonly replyDeadline: Deadline },
  ): Promise<void>;
}

export interface HandoffServiceOptions {
  readonly platform: Pick<Platform, "clock" | "host">;
  /** The broker is short of descriptors. */
  readonly fdPressure: () => boolean;
  readonly onOutcome: (report: HandoffReport) => void;
  readonly onSkip?: (key: BackendKey, reason: FallbackReason) => void;
}

/** For the one event the broker may write to the client, and for a refused client to leave. */
const EVENT_MS = 1_000;
const NO_REPLY = new Uint8Array(0);
const DISCARD_BYTES = 64 * 1024;
const RANDOM_POOL_BYTES = 1024;

export function createHandoffService(options: HandoffServiceOptions): HandoffService {
  const { clock, host } = options.platform;
  const tokens = createHandoffTokenStore({ randomBytes: createRandomPool(host.randomBytes) });
  const acks = createAckRegistry({ tokens });
  const policy = createHandoffPolicy();

  return {
    prepare({ backend, definition, clientCapabilities, connectionId }) {
      const nowMs = clock.monotonicMs();
      const way = backend.handoffWay();
      const decision = policy.decide(
        {
          key: backend.identity.endpoint.path,
          clientSupports: hasCapability(clientCapabilities, "handlePassing"),
          transportAvailable: way !== undefined,
          settings: definition.handoff,
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
      const blocking = !definition.exec.nonBlocking;
      return { backend, way, token: issued.token, correlationId: connectionId, direct, blocking, capabilities };
    },

    async run(connection, prepared, { reply, replyDeadline }) {
      const { backend, direct, token, correlationId } = prepared;
      const startedMs = clock.monotonicMs();
      const offer = {
        handleValue: 0n,
        token: token.reveal(),
        serviceName: backend.key.service,
        correlationId,
        clientReply: direct ? reply : NO_REPLY,
      };
      // Encoded before the reply is sent, so that nothing is left to do between the reply and the offer.
      const exchange = prepared.way.open(offer, direct ? "at-leisure" : "at-once");
      if (!direct) await replyFirst(connection, reply, replyDeadline, () => acks.abandon(token));
      const outcome = await handOver(connection, prepared, exchange, { clock, acks });
      exchange.close();
      const micros = Math.round((clock.monotonicMs() - startedMs) * 1000);
      const key = backend.identity.endpoint.path;
      if (outcome.kind === "completed") policy.recordSuccess(key);
      else policy.recordFailure(key, outcome.reason, clock.monotonicMs());
      await tellClient(connection, prepared, outcome, { clock, reply });
      options.onOutcome({ key: backend.key, connectionId: correlationId, direct, outcome, micros });
    },
  };
}

/** Asking the system for sixteen bytes costs as much as for a thousand. Each byte is given out once. */
function createRandomPool(draw: (length: number) => Uint8Array): (length: number) => Uint8Array {
  let pool: Uint8Array = new Uint8Array(0);
  return (length) => {
    if (pool.length < length) pool = draw(Math.max(length, RANDOM_POOL_BYTES));
    const bytes = pool.subarray(0, length);
    pool = pool.subarray(length);
    return bytes;
  };
}

async function replyFirst(
  connection: Connection,
  reply: Uint8Array,
  deadline: Deadline,
  giveUp: () => void,
): Promise<void> {
  try {
    await connection.writeAll(reply, deadline);
  } catch (error) {
    giveUp();
    throw error;
  }
}

function handOver(
  connection: Connection,
  { token, blocking }: PreparedHandoff,
  exchange: HandoffExchange,
  { clock, acks }: { clock: Clock; acks: ReturnType<typeof createAckRegistry> },
): Promise<HandoffOutcome<UnixStage>> {
  const deadline = Deadline.after(clock, ACK_DEADLINE_MS);
  return runHandoff(UNIX_HANDOFF, {
    send: () => {
      // Stays so whatever comes of the handoff: a backend that refuses may still hold its duplicate.
      connection.setBlocking(blocking);
      return exchange.send(connection.transferable, deadline);
    },
    awaitAck: () => exchange.awaitAck(deadline),
    acknowledge: () => acks.acknowledge(token, clock.monotonicMs()),
    revoke: () => void acks.abandon(token),
    sever: () => connection.shutdown(),
  });
}

/**
 * v1: the ready event on success, nothing otherwise; the closed connection tells the client. Direct: nothing on success;
 * after a refusal the reply, and the event with accepted = false, which promises that nothing was read. A severed
 * connection is dead.
 */
async function tellClient(
  connection: Connection,
  { direct, token, correlationId }: PreparedHandoff,
  outcome: HandoffOutcome<UnixStage>,
  { clock, reply }: { clock: Clock; reply: Uint8Array },
): Promise<void> {
  const completed = outcome.kind === "completed";
  if (direct === completed || (!completed && outcome.severed)) return;
  const errorDetail = completed ? "" : outcome.detail;
  const event = encodeReadyEvent({ token: token.reveal(), accepted: completed, errorDetail, correlationId });
  const deadline = Deadline.after(clock, EVENT_MS);
  try {
    await connection.writeAll(direct ? Buffer.concat([reply, event]) : event, deadline);
    // A client that is writing meanwhile would meet a closed connection, and never read why.
    if (!completed) while ((await connection.readSome(DISCARD_BYTES, deadline)).length > 0);
  } catch (error) {
    // It is gone and needs no telling, or does not go: nothing is owed to it any more.
    if (!isBrokerError(error)) throw error;
  }
}
