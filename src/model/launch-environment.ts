/** The environment of a launched backend (spec: launch §3): the broker's own, minus what was true only for the broker, plus the launch. */
import type { BackendEndpoint } from "./identity.ts";

export interface LaunchFacts {
  readonly service: string;
  readonly version: string;
  readonly endpoint: BackendEndpoint;
  readonly instanceId: string;
  /** Canonical path of what is run; lets a backend behind an interpreter know which file it is. */
  readonly binary: string;
  /** Of the Hello that caused the launch; empty when it had none. */
  readonly traceparent: string;
  readonly tracestate: string;
  /** Number of the inherited listening descriptor; absent when the backend binds. */
  readonly listenerFd?: number;
  /** Number of the inherited end of the control channel. */
  readonly controlFd?: number;
  /** Where the broker listens, for a backend that wants its control channel back; only together with `controlFd`. */
  readonly brokerEndpoint?: string;
  /** From the definition's labels. */
  readonly extra: Readonly<Record<string, string>>;
}

/** The variable that tells a process which descriptor leads to the broker whose place it takes. */
export const SUCCESSION_FD_VARIABLE = "RUNNING_PROCESS_BROKER_SUCCESSION_FD";

/** A value in the broker's own environment that would be a lie in a backend's. */
const NOT_INHERITED =
  /^(RUNNING_PROCESS_BROKER_V1_(?!SOCKET$).*|RUNNING_PROCESS_BROKER_BINARY|RUNNING_PROCESS_BROKER_NODE_EXTRA_CA_CERTS|RUNNING_PROCESS_BROKER_LISTENER_FD|RUNNING_PROCESS_BROKER_CONTROL_FD|RUNNING_PROCESS_BROKER_ENDPOINT|RUNNING_PROCESS_BROKER_SUCCESSION_FD|LISTEN_FDS|LISTEN_PID|LISTEN_FDNAMES|NOTIFY_SOCKET|NODE_CHANNEL_FD|NODE_CHANNEL_SERIALIZATION_MODE|NODE_UNIQUE_ID)$/;

/**
 * Every Node reads these certificates as it starts, before it knows whether it will ever use them: the 140 of a
 * distribution take longer than everything else it does. A broker has no use for them, its backends may have.
 */
const CERTIFICATES = "NODE_EXTRA_CA_CERTS";
const KEPT_CERTIFICATES = "RUNNING_PROCESS_BROKER_NODE_EXTRA_CA_CERTS";

/** The part of `env` that a process started by us may inherit. */
export function inheritableEnvironment(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const [name, value] of Object.entries(env))
    if (value !== undefined && !NOT_INHERITED.test(name)) kept[name] = value;
  return kept;
}

/** What a client starts its own broker with: `launchEnvironment` gives backends back what is only set aside here. */
export function brokerEnvironment(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const { [CERTIFICATES]: certificates, ...kept } = inheritableEnvironment(env);
  return certificates === undefined ? kept : { ...kept, [KEPT_CERTIFICATES]: certificates };
}

export function launchEnvironment(
  own: Readonly<Record<string, string | undefined>>,
  launch: LaunchFacts,
): Record<string, string> {
  const prefix = "RUNNING_PROCESS_BROKER_V1_";
  const certificates = own[KEPT_CERTIFICATES];
  return {
    ...(certificates !== undefined && { [CERTIFICATES]: certificates }),
    ...inheritableEnvironment(own),
    ...launch.extra,
    [`${prefix}SERVICE_NAME`]: launch.service,
    [`${prefix}SERVICE_VERSION`]: launch.version,
    [`${prefix}BACKEND_PIPE`]: launch.endpoint.path,
    [`${prefix}BACKEND_NAMESPACE`]: launch.endpoint.namespaceId,
    [`${prefix}INSTANCE`]: launch.instanceId,
    RUNNING_PROCESS_BROKER_BINARY: launch.binary,
    ...(launch.traceparent !== "" && { [`${prefix}TRACEPARENT`]: launch.traceparent }),
    ...(launch.tracestate !== "" && { [`${prefix}TRACESTATE`]: launch.tracestate }),
    ...(launch.controlFd !== undefined && { RUNNING_PROCESS_BROKER_CONTROL_FD: String(launch.controlFd) }),
    ...(launch.brokerEndpoint !== undefined && { RUNNING_PROCESS_BROKER_ENDPOINT: launch.brokerEndpoint }),
    ...(launch.listenerFd !== undefined && { RUNNING_PROCESS_BROKER_LISTENER_FD: String(launch.listenerFd) }),
  };
}

/** The environment entry by which every descendant of a launch is known: its endpoint's random path. */
export function launchMarker(endpoint: Pick<BackendEndpoint, "path">): string {
  return `RUNNING_PROCESS_BROKER_V1_BACKEND_PIPE=${endpoint.path}`;
}
