/**
 * What the environment says about this launch (spec: launch §3, backend-sdk §6): where the backend is to listen, as
 * whom, and whether somebody has bound that endpoint for it already. Pure: takes the variables, touches nothing.
 */
import { BrokerError } from "../base/errors.ts";
import type { Env } from "../platform/ports/index.ts";

/** Where a backend listens. */
export interface BackendAddress {
  /** Path of the socket, exactly as in the launch environment. */
  readonly path: string;
  /** Broker instance id for launched backends, `direct` for others. */
  readonly namespaceId: string;
  /** The file this process was launched from, as the broker canonicalised it. Only brokers of ours tell. */
  readonly binary?: string;
}

const V1 = "RUNNING_PROCESS_BROKER_V1_";
/** The variable that gives a backend its address. */
export const BACKEND_PIPE = `${V1}BACKEND_PIPE`;
const LISTENER_FD = "RUNNING_PROCESS_BROKER_LISTENER_FD";
const BINARY = "RUNNING_PROCESS_BROKER_BINARY";
/** sd_listen_fds(3): passed descriptors start here. */
const LISTEN_FDS_START = 3;
const DIRECT_NAMESPACE = "direct";

/** Has a broker launched this process as a backend? */
export function isLaunched(env: Env): boolean {
  return Boolean(env[BACKEND_PIPE]);
}

/**
 * The address of this launch; `fallback` counts only when no broker has given one.
 *
 * @throws BrokerError LAUNCHED_WITHOUT_ENDPOINT when there is neither
 */
export function backendAddress(env: Env, fallback?: string): BackendAddress {
  const path = env[BACKEND_PIPE];
  const binary = env[BINARY];
  if (path) return { path, namespaceId: env[`${V1}BACKEND_NAMESPACE`] ?? "", ...(binary && { binary }) };
  if (fallback) return { path: fallback, namespaceId: DIRECT_NAMESPACE };
  throw new BrokerError(
    "LAUNCHED_WITHOUT_ENDPOINT",
    `${BACKEND_PIPE} is not set: start this program through a broker, or give it the option "endpoint" to run without one`,
  );
}

/** What the broker calls this backend; undefined when it was not launched by one. */
export function backendLabels(env: Env): {
  readonly service: string | undefined;
  readonly version: string | undefined;
} {
  return { service: env[`${V1}SERVICE_NAME`] || undefined, version: env[`${V1}SERVICE_VERSION`] || undefined };
}

/**
 * Number of an inherited listening descriptor: the broker's variable, else systemd's protocol with exactly one
 * descriptor meant for this very process. Undefined when none was passed.
 *
 * @throws BrokerError LISTENER_INVALID when one was passed in a way that cannot be followed; binding instead would
 * leave the clients that already wait in the other backlog unserved.
 */
export function inheritedListenerFd(env: Env, selfPid: number): number | undefined {
  const own = env[LISTENER_FD];
  if (own !== undefined) return decimal(LISTENER_FD, own);
  if (env.LISTEN_FDS === undefined || env.LISTEN_PID?.trim() !== String(selfPid)) return undefined;
  const count = decimal("LISTEN_FDS", env.LISTEN_FDS);
  if (count === 1) return LISTEN_FDS_START;
  throw new BrokerError("LISTENER_INVALID", `LISTEN_FDS is ${count}, expected exactly 1 descriptor`, {
    details: { check: "LISTEN_FDS" },
  });
}

function decimal(name: string, text: string): number {
  const trimmed = text.trim();
  // Nine digits are more than any descriptor table holds and fit an int.
  if (/^\d{1,9}$/.test(trimmed)) return Number(trimmed);
  throw new BrokerError("LISTENER_INVALID", `${name} is ${JSON.stringify(text)}, expected a decimal number`, {
    details: { check: name },
  });
}
