/**
 * The public calls, given the system. Whatever needs the operating system (or protobuf) is in runtime.ts and loaded only
 * once it is sure to be used: a tool that runs with the broker turned off pays for this file and the tables it names,
 * nothing else.
 */
import type { Socket } from "node:net";
import type { Clock } from "../base/clock.ts";
import { type BrokerError, hasCode } from "../base/errors.ts";
import { brokerErrorFrom } from "../base/system-error.ts";
import type { PlaceInputs } from "../model/places.ts";
import type { Env, Platform } from "../platform/ports/index.ts";
import type { HandoffWish } from "./connect-with.ts";
import { checkNotDisabled } from "./disable-env.ts";
import { loadRuntime, type Runtime } from "./load-runtime.ts";
import {
  type Connected,
  type ConnectOptions,
  checkConnectOptions,
  checkFallbackSocket,
  checkSessionOptions,
  DEFAULT_TIMEOUT_MS,
} from "./options.ts";
import type { Session, SessionOptions } from "./session.ts";
import { createTimeBox } from "./time-box.ts";

export interface Client {
  /**
   * Connects to a running backend of exactly the wanted version, which is launched when need be. The socket is the
   * caller's: raw, for a protocol of its own, and nobody has read from it.
   *
   * @throws BrokerError (always one, unless the caller's fallback throws something else): the codes of docs/errors.md
   * that concern the client, and the broker's refusals. `code` says which, `details` carries what is known.
   */
  connect(options: ConnectOptions): Promise<Connected>;
  /**
   * Connects like `connect` and speaks frames on the connection.
   *
   * @throws BrokerError as `connect`
   */
  openSession(options: SessionOptions): Promise<Session>;
}

/** What the entry file knows about the system without loading it. */
export interface ClientSystem {
  readonly clock: Clock;
  env(): Env;
  places(env: Env): PlaceInputs;
  loadPlatform(): Promise<Platform>;
}

export function createClient(given: ClientSystem): Client {
  const system = { ...given, loadPlatform: loadOnce(given.loadPlatform) };
  return {
    connect: (options) =>
      open(system, options, async () => ({
        wish: { adopt: options.adopt ? "ready" : "no" },
        finish: (connected) => connected,
      })),
    openSession: async (options) => {
      checkSessionOptions(options);
      return open(system, options, async () => {
        const { createSession, pipelinedBytes } = await loadRuntime();
        const adopt = options.adopt === false ? "no" : "direct";
        const pipelined = adopt === "no" ? undefined : pipelinedBytes(options.firstRequest);
        return { wish: { adopt, pipelined }, finish: (connected) => createSession(connected, system.clock, options) };
      });
    },
  };
}

/** One platform for all calls: making one looks up what does not change while the process lives. A failure is tried again. */
function loadOnce(load: () => Promise<Platform>): () => Promise<Platform> {
  let loaded: Promise<Platform> | undefined;
  return () => {
    loaded ??= load().catch((error: unknown) => {
      loaded = undefined;
      throw error;
    });
    return loaded;
  };
}

interface Ending<T> {
  readonly wish: HandoffWish;
  /** Turns a connected socket into what the caller gets. Runs at once: a socket that fails must not be without a listener. */
  readonly finish: (connected: Connected) => T;
}

async function open<T>(system: ClientSystem, options: ConnectOptions, prepare: () => Promise<Ending<T>>): Promise<T> {
  checkConnectOptions(options);
  const { clock } = system;
  const startedAt = clock.monotonicMs();
  try {
    const env = options.env ?? system.env();
    const box = createTimeBox(clock, options.timeoutMs ?? DEFAULT_TIMEOUT_MS, options.signal);
    checkNotDisabled(env);
    const load = (): Promise<[Platform, Runtime, Ending<T>]> =>
      Promise.all([system.loadPlatform(), loadRuntime(), prepare()]);
    const [platform, { connectWith }, { wish, finish }] = await box.run("loading the client", load);
    return finish(await connectWith({ platform, places: system.places(env), box }, options, wish));
  } catch (thrown) {
    // Whatever lacks, the caller hears a code, and its own path is taken.
    const error = brokerErrorFrom(thrown);
    const { fallback } = options;
    if (fallback === undefined || hasCode(error, ...NO_FALLBACK)) throw error;
    const socket = await takeFallback(fallback, error, { clock, signal: options.signal });
    try {
      const { finish } = await prepare();
      return finish({
        route: "fallback",
        fallbackReason: error,
        timings: { totalMs: clock.monotonicMs() - startedAt },
        socket,
      });
    } catch (late) {
      // Without the code of a session there is none; the reason for that is the first one.
      socket.destroy();
      throw brokerErrorFrom(late);
    }
  }
}

/** The caller's own decision, and a setting that somebody must mend: neither says that the broker cannot help. */
const NO_FALLBACK = ["ABORTED", "DISABLE_ENV_INVALID"] as const;

/** Without the call's time limit, which may be what ended the broker's path; the signal still counts. */
function takeFallback(
  fallback: NonNullable<ConnectOptions["fallback"]>,
  reason: BrokerError,
  at: { clock: Clock; signal: AbortSignal | undefined },
): Promise<Socket> {
  return createTimeBox(at.clock, Number.POSITIVE_INFINITY, at.signal).run(
    "waiting for the caller's own path",
    async () => {
      const socket = await fallback(reason);
      checkFallbackSocket(socket);
      return socket;
    },
    (late) => late.destroy(),
  );
}
