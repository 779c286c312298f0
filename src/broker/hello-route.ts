/**
 * One Hello, from decoded frame to reply (spec: server §6). The order is: shape, rate, definition, version, instance,
 * backend. Only the last costs anything, and only it waits.
 */
import type { Clock, Deadline } from "../base/clock.ts";
import { hasCode, isBrokerError, reasonOf } from "../base/errors.ts";
import type { HandoffSettings } from "../model/exec-settings.ts";
import { type Instance, instanceId } from "../model/names.ts";
import { checkHelloShape, checkVersionPolicy, PROTOCOL_VERSION } from "../model/negotiate.ts";
import type { RateLimiter } from "../model/rate-limit.ts";
import { type Refusal, refuse, wireNumber } from "../model/refusal.ts";
import { instanceOf, type ServiceDefinition } from "../model/service-definition.ts";
import type { Connection, PeerCredentials } from "../platform/ports.ts";
import type { DefinitionStore } from "../store/definition-store.ts";
import { decodeMessage, encodeMessage } from "../wire/codec.ts";
import { type EnvelopeFault, envelopeFault } from "../wire/envelope.ts";
import { DEFAULT_KEEPALIVE_SECS } from "../wire/limits.ts";
import { type Frame, FrameKind, type Hello, HelloReplySchema, HelloSchema } from "../wire/messages.ts";
import { PAYLOAD_PROTOCOL } from "../wire/payload-protocol.ts";
import type { Activation, ActivationHow } from "./activation.ts";
import type { Backend } from "./backend.ts";
import type { HandoffService, PreparedHandoff } from "./handoff.ts";
import { createLaunchAhead, type LaunchAhead } from "./launch-ahead.ts";
import type { BackendKey } from "./launcher.ts";
import type { WantedBackend } from "./options.ts";

export interface HelloOutcome {
  /** Encoded HelloReply. */
  readonly reply: Uint8Array;
  readonly hello: Hello | undefined;
  readonly refusal: Refusal | undefined;
  readonly connectionId: bigint;
  /** What it got and how; undefined when it was refused. */
  readonly given: { readonly how: ActivationHow; readonly pid: number } | undefined;
  /** Set when the connection is to be handed over, the reply with it. */
  readonly handoff: PendingHandoff | undefined;
}

/** A handoff whose token is in the reply. */
export interface PendingHandoff {
  /** Sends the reply, as complete stream bytes, and hands over. Borrows the connection; resolves when it may be closed. */
  run(connection: Connection, reply: Uint8Array, replyDeadline: Deadline): Promise<void>;
}

export interface HelloRouteOptions {
  readonly clock: Clock;
  readonly activation: Pick<Activation, "activate">;
  readonly definitions: Pick<DefinitionStore, "load">;
  readonly rateLimiter: RateLimiter;
  /** Serve only this instance; undefined: all. */
  readonly instance: Instance | undefined;
  /** Default: no connection is handed over. */
  readonly handoffs?: HandoffService;
}

export interface HelloRoute {
  /** Set by a broker that counts on where another one stopped. */
  lastConnectionId: bigint;

  /** Never rejects for what a peer or backend does. */
  handle(frame: Frame, peer: PeerCredentials): Promise<HelloOutcome>;
  /** Launches a backend without waiting for the Hello that wants it. Resolves once it runs, or with why it does not. */
  launchAhead(wanted: WantedBackend): Promise<Refusal | undefined>;
}

export function createHelloRoute(options: HelloRouteOptions): HelloRoute {
  const ahead = createLaunchAhead(options.clock, options.activation);
  const route: HelloRoute = {
    lastConnectionId: 0n,
    async launchAhead({ service, version }) {
      const target = find(options, service, version);
      if ("refusal" in target) return target.refusal;
      return ahead.begin({ ...target, traceparent: "", tracestate: "", askedBy: "start" });
    },
    async handle(frame, peer) {
      const hello = decodeHello(frame);
      const chosen = "refusal" in hello ? hello : await choose(options, ahead, frame, hello, peer);
      route.lastConnectionId++;
      const connectionId = route.lastConnectionId;
      if ("refusal" in hello || "refusal" in chosen) {
        const refusal = "refusal" in chosen ? chosen.refusal : (hello as { refusal: Refusal }).refusal;
        return {
          reply: encodeRefused(refusal),
          hello: "refusal" in hello ? undefined : hello,
          refusal,
          connectionId,
          given: undefined,
          handoff: undefined,
        };
      }
      const { backend, how, settings } = chosen;
      backend.lastHelloUnixMs = Math.round(options.clock.wallMs());
      backend.lastActiveUnixMs = backend.lastHelloUnixMs;
      const { handoffs } = options;
      const { clientCapabilities } = hello;
      const prepared = handoffs?.prepare({ backend, settings, clientCapabilities, connectionId });
      return {
        reply: encodeNegotiated(backend, hello, connectionId, prepared),
        hello,
        refusal: undefined,
        connectionId,
        given: { how, pid: backend.identity.pid },
        handoff: handoffs &&
          prepared && {
            run: (connection, reply, replyDeadline) => handoffs.run(connection, prepared, { reply, replyDeadline }),
          },
      };
    },
  };
  return route;
}

/** Frozen texts for each envelope field. */
const ENVELOPE_REFUSALS: Record<EnvelopeFault, Refusal> = {
  envelope_version: refuse("VERSION_UNSUPPORTED", "frame envelope_version is not v1"),
  kind: refuse("PEER_REJECTED", "Hello frame kind must be REQUEST"),
  payload_protocol: refuse("PEER_REJECTED", "Hello frame payload_protocol must be control-plane"),
  payload_encoding: refuse("PEER_REJECTED", "Hello payload must not be compressed"),
};

function decodeHello(frame: Frame): Hello | { refusal: Refusal } {
  const fault = envelopeFault(frame, { kind: FrameKind.REQUEST, payloadProtocol: PAYLOAD_PROTOCOL.control });
  if (fault !== undefined) return { refusal: ENVELOPE_REFUSALS[fault] };
  try {
    return decodeMessage(HelloSchema, frame.payload);
  } catch (error) {
    if (!isBrokerError(error)) throw error;
    return { refusal: refuse("PEER_REJECTED", "malformed Hello payload") };
  }
}

async function choose(
  options: HelloRouteOptions,
  ahead: LaunchAhead,
  frame: Frame,
  hello: Hello,
  peer: PeerCredentials,
): Promise<{ backend: Backend; how: ActivationHow; settings: HandoffSettings } | { refusal: Refusal }> {
  const shape = checkHelloShape(hello, peer.pid);
  if (shape !== undefined) return { refusal: shape };
  // A peer whose pid the kernel cannot name is counted with all others of its user.
  const waitMs = options.rateLimiter.take(peer.pid === 0 ? `uid:${peer.uid}` : peer.pid, options.clock.monotonicMs());
  if (waitMs > 0) return { refusal: refuse("RATE_LIMITED", "Hello rate limit exceeded", { retryAfterMs: waitMs }) };
  const target = find(options, hello.serviceName, hello.wantedVersion);
  if ("refusal" in target) return target;
  const begun = ahead.outcome(target.key);
  const refusal = begun && (await begun);
  if (refusal !== undefined) return { refusal };
  const { key, definition } = target;
  // Property by property, here and below: defining some after a spread costs a Hello a fifth of its time (V8 11).
  const pending = options.activation.activate({
    key,
    definition,
    traceparent: frame.traceparent,
    tracestate: frame.tracestate,
    askedBy: peer.pid,
  });
  const activated = pending instanceof Promise ? await pending : pending;
  if ("refusal" in activated) return activated;
  return { backend: activated.backend, how: activated.how, settings: definition.handoff };
}

/** What a service's definition says of a version. */
function find(
  options: HelloRouteOptions,
  service: string,
  version: string,
): { key: BackendKey; definition: ServiceDefinition } | { refusal: Refusal } {
  const definition = loadDefinition(options.definitions, service);
  if ("refusal" in definition) return definition;
  const blocked = checkVersionPolicy(definition, version);
  if (blocked !== undefined) return { refusal: blocked };
  const owner = instanceId(instanceOf(definition));
  if (options.instance !== undefined && owner !== instanceId(options.instance)) {
    return {
      refusal: refuse(
        "SERVICE_UNKNOWN",
        `service ${JSON.stringify(service)} belongs to broker instance "${owner}", this one is "${instanceId(options.instance)}"`,
      ),
    };
  }
  return { key: { instanceId: owner, service, version }, definition };
}

function loadDefinition(
  definitions: HelloRouteOptions["definitions"],
  service: string,
): ServiceDefinition | { refusal: Refusal } {
  try {
    return definitions.load(service);
  } catch (error) {
    if (!isBrokerError(error)) throw error;
    if (hasCode(error, "DEFINITION_NOT_FOUND"))
      return {
        refusal: refuse("SERVICE_UNKNOWN", "service definition was not found", {
          details: { path: error.details.path ?? "" },
        }),
      };
    return { refusal: refuse("SERVICE_UNKNOWN", `service definition could not be loaded: ${reasonOf(error)}`) };
  }
}

const NO_TOKEN = new Uint8Array(0);

function encodeNegotiated(
  backend: Backend,
  hello: Hello,
  connectionId: bigint,
  handoff: PreparedHandoff | undefined,
): Uint8Array {
  return encodeMessage(HelloReplySchema, {
    result: {
      case: "negotiated",
      value: {
        negotiatedProtocol: PROTOCOL_VERSION,
        daemonVersion: backend.key.version,
        backendPipe: backend.identity.endpoint.path,
        keepaliveIntervalSecs: hello.clientKeepaliveSecs === 0n ? DEFAULT_KEEPALIVE_SECS : hello.clientKeepaliveSecs,
        connectionId,
        handlePassedToken: handoff?.token.reveal() ?? NO_TOKEN,
        serverCapabilities: handoff?.capabilities ?? 0n,
        warnings: [],
      },
    },
  });
}

/** The reply for every refusal, also those that come before a Hello could be read. */
export function encodeRefused(refusal: Refusal): Uint8Array {
  return encodeMessage(HelloReplySchema, {
    result: {
      case: "refused",
      value: {
        reason: refusal.reason,
        daemonMinProtocol: PROTOCOL_VERSION,
        daemonMaxProtocol: PROTOCOL_VERSION,
        code: wireNumber(refusal.code),
        details: { ...refusal.details },
        retryAfterMs: BigInt(refusal.retryAfterMs),
      },
    },
  });
}
