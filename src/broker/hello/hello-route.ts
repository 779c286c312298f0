/**
 * One Hello, from decoded frame to reply (spec: server §6). The order is: shape, rate, definition, version, instance,
 * backend. Only the last costs anything, and only it waits.
 */
import type { Clock, Deadline } from "../../base/clock.ts";
import { isBrokerError } from "../../base/errors.ts";
import type { MaybePromise } from "../../base/maybe-promise.ts";
import type { WantedBackend } from "../../model/backend-key.ts";
import { checkHelloShape } from "../../model/negotiate.ts";
import type { RateLimiter } from "../../model/rate-limit.ts";
import { type Refusal, refuse } from "../../model/refusal.ts";
import type { ServiceDefinition } from "../../model/service-definition.ts";
import type { Connection, PeerCredentials } from "../../platform/ports/index.ts";
import { decodeMessage } from "../../wire/codec.ts";
import { type EnvelopeFault, encodeResponse, envelopeFault } from "../../wire/envelope.ts";
import { type Frame, FrameKind, type Hello, HelloSchema } from "../../wire/messages.ts";
import { PAYLOAD_PROTOCOL } from "../../wire/payload-protocol.ts";
import type { Activated, Activation } from "../activation/activation.ts";
import type { ActivationHow, Given } from "../events/reports.ts";
import type { HandoffService } from "../handoff/handoff-service.ts";
import type { LaunchRequest } from "../launch/launch-request.ts";
import type { Backend } from "../supervisor/backend.ts";
import { createGrantedEncoder } from "./granted-reply.ts";
import { createTargetFinder, type FindTarget, type Refused, type TargetFinderOptions } from "./hello-target.ts";
import { createLaunchAhead, type LaunchAhead } from "./prelaunch.ts";
import { encodeRefused } from "./refused-reply.ts";

export interface HelloOutcome {
  /** Complete stream bytes. */
  readonly reply: Uint8Array;
  readonly hello: Hello | undefined;
  readonly refusal: Refusal | undefined;
  readonly connectionId: bigint;
  /** What it got and how; undefined when it was refused. */
  readonly given: Given | undefined;
  /** Set when the connection is to be handed over, the reply with it. */
  readonly handoff: PendingHandoff | undefined;
}

/** A handoff whose token is in the reply. */
export interface PendingHandoff {
  /** Sends the reply, as complete stream bytes, and hands over. Borrows the connection; resolves when it may be closed. */
  run(connection: Connection, reply: Uint8Array, replyDeadline: Deadline): Promise<void>;
}

export interface HelloRouteOptions extends TargetFinderOptions {
  readonly clock: Clock;
  readonly activation: Pick<Activation, "activate">;
  readonly rateLimiter: RateLimiter;
  /** Default: no connection is handed over. */
  readonly handoffs?: HandoffService;
}

export interface HelloRoute {
  /** Set by a broker that counts on where another one stopped. */
  lastConnectionId: bigint;

  /** Never rejects for what a peer or backend does. */
  handle(frame: Frame, peer: PeerCredentials): MaybePromise<HelloOutcome>;
  /** Launches a backend without waiting for the Hello that wants it. Resolves once it runs, or with why it does not. */
  launchAhead(wanted: WantedBackend): Promise<Refusal | undefined>;
}

export function createHelloRoute(options: HelloRouteOptions): HelloRoute {
  return new HelloRouter(options);
}

interface Chosen {
  readonly backend: Backend;
  readonly how: ActivationHow;
  readonly definition: ServiceDefinition;
}

/** Nothing here is a promise unless a launch or a look at a backend has to be waited for. */
class HelloRouter implements HelloRoute {
  lastConnectionId = 0n;
  private readonly ahead: LaunchAhead;
  private readonly find: FindTarget;
  private readonly encodeGranted = createGrantedEncoder();

  constructor(private readonly options: HelloRouteOptions) {
    this.ahead = createLaunchAhead(options.clock, options.activation);
    this.find = createTargetFinder(options);
  }

  async launchAhead({ service, version }: WantedBackend): Promise<Refusal | undefined> {
    const target = this.find(service, version);
    if ("refusal" in target) return target.refusal;
    const { key, definition } = target;
    return this.ahead.begin({ key, definition, traceparent: "", tracestate: "", askedBy: "start" });
  }

  handle(frame: Frame, peer: PeerCredentials): MaybePromise<HelloOutcome> {
    const hello = decodeHello(frame);
    if ("refusal" in hello) return this.refused(frame, undefined, hello.refusal);
    const chosen = this.choose(frame, hello, peer);
    return chosen instanceof Promise
      ? chosen.then((known) => this.answer(frame, hello, known))
      : this.answer(frame, hello, chosen);
  }

  private choose(frame: Frame, hello: Hello, peer: PeerCredentials): MaybePromise<Chosen | Refused> {
    const { rateLimiter, clock } = this.options;
    const shape = checkHelloShape(hello, peer.pid);
    if (shape !== undefined) return { refusal: shape };
    // A peer whose pid the kernel cannot name is counted with all others of its user.
    const waitMs = rateLimiter.take(peer.pid === 0 ? `uid:${peer.identity}` : peer.pid, clock.monotonicMs());
    if (waitMs > 0) return { refusal: refuse("RATE_LIMITED", "Hello rate limit exceeded", { retryAfterMs: waitMs }) };
    const target = this.find(hello.serviceName, hello.wantedVersion);
    if ("refusal" in target) return target;
    const { key, definition } = target;
    const { traceparent, tracestate } = frame;
    // Property by property: defining some after a spread costs a Hello a fifth of its time (V8 11).
    const request = { key, definition, traceparent, tracestate, askedBy: peer.pid };
    const begun = this.ahead.outcome(key);
    if (begun === undefined) return this.activate(request);
    return begun.then((refusal) => (refusal === undefined ? this.activate(request) : { refusal }));
  }

  private activate(request: LaunchRequest): MaybePromise<Chosen | Refused> {
    const activated = this.options.activation.activate(request);
    return activated instanceof Promise
      ? activated.then((known) => chosenFrom(known, request))
      : chosenFrom(activated, request);
  }

  private answer(frame: Frame, hello: Hello, chosen: Chosen | Refused): HelloOutcome {
    if ("refusal" in chosen) return this.refused(frame, hello, chosen.refusal);
    const { handoffs, clock } = this.options;
    const { backend, how, definition } = chosen;
    const { clientCapabilities, clientKeepaliveSecs: keepaliveSecs } = hello;
    const connectionId = ++this.lastConnectionId;
    backend.lastHelloUnixMs = Math.round(clock.wallMs());
    backend.lastActiveUnixMs = backend.lastHelloUnixMs;
    const prepared = handoffs?.prepare({ backend, definition, clientCapabilities, connectionId });
    return {
      reply: this.encodeGranted(frame, { backend, keepaliveSecs, connectionId, handoff: prepared }),
      hello,
      refusal: undefined,
      connectionId,
      given: { key: backend.key, how, pid: backend.identity.pid },
      handoff: handoffs &&
        prepared && {
          run: (connection, reply, replyDeadline) => handoffs.run(connection, prepared, { reply, replyDeadline }),
        },
    };
  }

  private refused(frame: Frame, hello: Hello | undefined, refusal: Refusal): HelloOutcome {
    const connectionId = ++this.lastConnectionId;
    const payload = encodeRefused(refusal);
    const reply = encodeResponse(frame, { payloadProtocol: PAYLOAD_PROTOCOL.control, payload });
    return { reply, hello, refusal, connectionId, given: undefined, handoff: undefined };
  }
}

function chosenFrom(activated: Activated, { definition }: LaunchRequest): Chosen | Refused {
  if ("refusal" in activated) return activated;
  return { backend: activated.backend, how: activated.how, definition };
}

/** Frozen texts for each envelope field. */
const ENVELOPE_REFUSALS: Record<EnvelopeFault, Refusal> = {
  envelope_version: refuse("VERSION_UNSUPPORTED", "frame envelope_version is not v1"),
  kind: refuse("PEER_REJECTED", "Hello frame kind must be REQUEST"),
  payload_protocol: refuse("PEER_REJECTED", "Hello frame payload_protocol must be control-plane"),
  payload_encoding: refuse("PEER_REJECTED", "Hello payload must not be compressed"),
};

function decodeHello(frame: Frame): Hello | Refused {
  const fault = envelopeFault(frame, { kind: FrameKind.REQUEST, payloadProtocol: PAYLOAD_PROTOCOL.control });
  if (fault !== undefined) return { refusal: ENVELOPE_REFUSALS[fault] };
  try {
    return decodeMessage(HelloSchema, frame.payload);
  } catch (error) {
    if (!isBrokerError(error)) throw error;
    return { refusal: refuse("PEER_REJECTED", "malformed Hello payload") };
  }
}
