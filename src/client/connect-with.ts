/**
 * From options to a connected backend, given a platform: cached endpoint, else broker (started when need be), Hello,
 * backend. Attempts repeat by the rules of retry.ts, all inside one time box.
 */
import { hasCode, isBrokerError } from "../base/errors.ts";
import type { PlaceInputs } from "../model/places.ts";
import type { Connection, Platform } from "../platform/ports.ts";
import { dialBroker, type OpenedBroker, startBroker } from "./auto-start.ts";
import { tryCachedEndpoint } from "./cached-endpoint.ts";
import { type BrokerChoice, chooseBroker } from "./choose-broker.ts";
import { dial } from "./dial.ts";
import { negotiate } from "./negotiate.ts";
import type { Connected, ConnectOptions, FallbackRoute } from "./options.ts";
import { createRetryPolicy } from "./retry.ts";
import { planBrokerStart } from "./start-command.ts";
import type { TimeBox } from "./time-box.ts";

export interface ConnectContext {
  readonly platform: Platform;
  /** Carries the environment. */
  readonly places: PlaceInputs;
  readonly box: TimeBox;
}

export type BrokerConnected = Exclude<Connected, FallbackRoute>;

/** `options` must have passed `checkConnectOptions`. @throws BrokerError any code of the client's section, and refusals */
export async function connectWith(context: ConnectContext, options: ConnectOptions): Promise<BrokerConnected> {
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
  for (let attempts = 1; ; attempts++) {
    try {
      const opened = await openBroker(context, choice, options);
      startedBroker ||= opened.started;
      const result = await attempt(context, opened, options);
      const timings = { totalMs: box.clock.monotonicMs() - startedAt, brokerMs: opened.brokerMs, ...result.timings };
      const cachedError = cached.kind === "failed" ? { cachedError: cached.error } : {};
      return {
        route: "negotiated",
        ...result.negotiation,
        attempts,
        startedBroker,
        ...cachedError,
        timings,
        socket: result.connection.release(),
      };
    } catch (error) {
      if (!isBrokerError(error)) throw error;
      const waitMs = policy.next(error, box.deadline.remainingMs());
      if (waitMs === undefined) throw error;
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
  const opened = await dialBroker(platform, choice.endpoint, box).then(
    (connection) => ({ connection, started: false }),
    (error: unknown) => {
      if (!hasCode(error, "BROKER_UNAVAILABLE") || !mayStart(options, places)) throw error;
      return startBroker(
        platform,
        planBrokerStart(choice, options, { places, nodePath: platform.processes.selfExePath }),
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
    readonly negotiated: Awaited<ReturnType<typeof negotiate>>["facts"];
  };
  readonly timings: { readonly helloMs: number; readonly dialMs: number };
  readonly connection: Connection;
}

/** Consumes the broker's connection, and keeps it until the backend has taken the other one. */
async function attempt(
  { platform, box }: ConnectContext,
  broker: OpenedBroker,
  options: ConnectOptions,
): Promise<Attempt> {
  try {
    const begun = box.clock.monotonicMs();
    const { endpoint, facts } = await negotiate(
      broker.connection,
      { ...options, pid: platform.processes.selfPid },
      box,
    );
    const answered = box.clock.monotonicMs();
    const connection = await dial(platform, {
      path: endpoint,
      who: "backend",
      unavailable: "BACKEND_UNREACHABLE",
      box,
    });
    return {
      negotiation: { endpoint, negotiated: facts },
      timings: { helloMs: answered - begun, dialMs: box.clock.monotonicMs() - answered },
      connection,
    };
  } finally {
    broker.connection.close();
  }
}
