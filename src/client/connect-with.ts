/**
 * From options to a connected backend, given a platform: cached endpoint, else broker (started when need be), Hello,
 * backend. Attempts repeat by the rules of retry.ts, all inside one time box.
 */
import type { Socket } from "node:net";
import { hasCode, isBrokerError } from "../base/errors.ts";
import type { PlaceInputs } from "../model/places.ts";
import type { Connection, Platform } from "../platform/ports/index.ts";
import { CAPABILITY } from "../wire/capabilities.ts";
import { dialBroker, type OpenedBroker, startBroker } from "./auto-start.ts";
import { awaitReady } from "./await-ready.ts";
import { tryCachedEndpoint } from "./cached-endpoint.ts";
import { type BrokerChoice, chooseBroker } from "./choose-broker.ts";
import { dial } from "./dial.ts";
import { type Negotiation, negotiate } from "./negotiate.ts";
import { type Connected, type ConnectOptions, DEFAULT_TIMEOUT_MS, type FallbackRoute } from "./options.ts";
import { createRetryPolicy } from "./retry.ts";
import { planBrokerStart } from "./start-command.ts";
import { createTimeBox, type TimeBox } from "./time-box.ts";
import type { UnconfirmedOptions } from "./unconfirmed.ts";

export interface ConnectContext {
  readonly platform: Platform;
  /** Carries the environment. */
  readonly places: PlaceInputs;
  readonly box: TimeBox;
}

export type BrokerConnected = Exclude<Connected, FallbackRoute> & {
  /** Set when the connection was handed over in direct mode: nothing has been heard of the backend yet. */
  readonly unconfirmed?: UnconfirmedOptions;
  /** The pipelined bytes are on this connection. */
  readonly pipelined?: boolean;
};

/** How far the caller goes along with a handoff. */
export interface HandoffWish {
  /** `direct`: can cope with a connection that turns out not to be the backend's. `ready`: waits until it is. */
  readonly adopt: "no" | "ready" | "direct";
  /** For the backend, sent along with the Hello. Must be fit to be carried out twice. */
  readonly pipelined?: Uint8Array | undefined;
}

const CAPABILITIES = {
  no: 0n,
  ready: CAPABILITY.handlePassing,
  direct: CAPABILITY.handlePassing | CAPABILITY.handoffDirect,
} as const;

/** `options` must have passed `checkConnectOptions`. @throws BrokerError any code of the client's section, and refusals */
export async function connectWith(
  context: ConnectContext,
  options: ConnectOptions,
  wish: HandoffWish = { adopt: "no" },
): Promise<BrokerConnected> {
  const { platform, places, box } = context;
  const startedAt = box.clock.monotonicMs();
  const cached = await tryCachedEndpoint(platform, options, box);
  if (cached.kind === "connected") {
    const { endpoint, verified, connection } = cached;
    return {
      route: "skip",
      endpoint,
      verified,
      timings: { totalMs: box.clock.monotonicMs() - startedAt },
      socket: connection.release(),
    };
  }
  const choice = chooseBroker(platform, places, options);
  const policy = createRetryPolicy();
  let startedBroker = false;
  let asked = wish;
  for (let attempts = 1; ; attempts++) {
    try {
      const opened = await openBroker(context, choice, options);
      startedBroker ||= opened.started;
      const result = await attempt(context, opened, options, asked);
      const timings = { totalMs: box.clock.monotonicMs() - startedAt, brokerMs: opened.brokerMs, ...result.timings };
      const cachedError = cached.kind === "failed" ? { cachedError: cached.error } : {};
      const { negotiation, connection, handoff } = result;
      const route = { ...negotiation, attempts, startedBroker, ...cachedError, timings, socket: connection.release() };
      return handoff === undefined ? { route: "negotiated", ...route } : { route: "handed-off", ...handoff, ...route };
    } catch (error) {
      if (!isBrokerError(error)) throw error;
      const waitMs = policy.next(error, box.deadline.remainingMs());
      if (waitMs === undefined) throw error;
      // In direct mode a backend that does not take the connection takes the reply along to the end.
      if (error.code === "CONNECTION_CLOSED") asked = { adopt: "no" };
      await box.pause(`waiting to try again, because: ${error.reason}`, waitMs);
    }
  }
}

async function openBroker(
  context: ConnectContext,
  choice: BrokerChoice,
  options: ConnectOptions,
): Promise<OpenedBroker & { brokerMs: number }> {
  const { platform, places, box } = context;
  const begun = box.clock.monotonicMs();
  const directory = platform.paths.dirname(choice.endpoint);
  platform.files.checkConnectDirectory(directory);
  const opened = await dialBroker(platform, choice.endpoint, box).then(
    (connection) => ({ connection, started: false }),
    (error: unknown) => {
      // It may be another directory by now.
      platform.files.checkConnectDirectory(directory, { again: true });
      if (!hasCode(error, "BROKER_UNAVAILABLE") || !mayStart(options, places)) throw error;
      return startBroker(
        platform,
        planBrokerStart(choice, options, { places, node: () => platform.processes.selfNode }),
        box,
      );
    },
  );
  return { ...opened, brokerMs: box.clock.monotonicMs() - begun };
}

function mayStart(options: ConnectOptions, places: PlaceInputs): boolean {
  return (options.broker?.autoStart ?? true) && places.env.RUNNING_PROCESS_BROKER_AUTOSTART !== "0";
}

interface Attempt {
  readonly negotiation: {
    readonly endpoint: string;
    readonly negotiated: Negotiation["facts"];
  };
  readonly timings: { readonly helloMs: number; readonly dialMs?: number };
  readonly connection: Connection;
  /** Set when `connection` is the broker's own, now the backend's. */
  readonly handoff?: {
    readonly direct: boolean;
    readonly unconfirmed?: UnconfirmedOptions;
    readonly pipelined: boolean;
  };
}

/** Consumes the broker's connection, and keeps it until the backend has taken it or another one. */
async function attempt(
  context: ConnectContext,
  broker: OpenedBroker,
  options: ConnectOptions,
  wish: HandoffWish,
): Promise<Attempt> {
  const { platform, box } = context;
  const { connection } = broker;
  let kept = false;
  try {
    const begun = box.clock.monotonicMs();
    const hello = {
      ...options,
      pid: platform.processes.selfPid,
      capabilities: CAPABILITIES[wish.adopt],
      pipelined: wish.pipelined,
    };
    const { endpoint, facts, handoff } = await negotiate(connection, hello, box);
    const negotiation = { endpoint, negotiated: facts };
    const dialBackend = (within: TimeBox): Promise<Connection> =>
      dial(platform, { path: endpoint, who: "backend", unavailable: "BACKEND_UNREACHABLE", box: within });
    if (handoff !== undefined && (handoff.direct || (await awaitReady(connection, handoff.token, box)))) {
      kept = true;
      const pipelined = wish.pipelined !== undefined;
      const reconnect = async (): Promise<Socket> => {
        try {
          return (await dialBackend(createTimeBox(box.clock, RECONNECT_MS))).release();
        } catch (error) {
          if (!hasCode(error, "BACKEND_UNREACHABLE")) throw error;
          // It has died meanwhile, and the broker launches another one.
          const { cachedEndpoint: _, verifyCached: __, ...again } = options;
          const anew = createTimeBox(box.clock, options.timeoutMs ?? DEFAULT_TIMEOUT_MS, options.signal);
          return (await connectWith({ ...context, box: anew }, again)).socket;
        }
      };
      return {
        negotiation,
        timings: { helloMs: box.clock.monotonicMs() - begun },
        connection,
        handoff: {
          direct: handoff.direct,
          pipelined,
          ...(handoff.direct && { unconfirmed: { token: handoff.token, reconnect } }),
        },
      };
    }
    const answered = box.clock.monotonicMs();
    const backend = await dialBackend(box);
    return {
      negotiation,
      timings: { helloMs: answered - begun, dialMs: box.clock.monotonicMs() - answered },
      connection: backend,
    };
  } finally {
    if (!kept) connection.close();
  }
}

/** For replacing a handed-over connection, which happens after the call and its time limit are over. */
const RECONNECT_MS = 5_000;
