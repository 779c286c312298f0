/** What goes wrong with requests and sessions, in words: one function per failure. */
import { BrokerError } from "../base/errors.ts";
import { formatProtocol } from "../wire/payload-protocol.ts";
import { DEFAULT_REQUEST_TIMEOUT_MS } from "./request-limit.ts";

export function expired(protocol: number, timeoutMs: number): BrokerError {
  return new BrokerError(
    "DEADLINE_EXCEEDED",
    `${timeoutMs} ms were up while waiting for the response to a request of protocol ${formatProtocol(protocol)}`,
  );
}

export function expiredByDefault(protocol: number): BrokerError {
  return new BrokerError(
    "DEADLINE_EXCEEDED",
    `${DEFAULT_REQUEST_TIMEOUT_MS} ms, the default limit, were up while waiting for the response to a request of protocol ${formatProtocol(protocol)}; timeoutMs sets another limit, 0 none`,
  );
}

export function aborted(protocol: number, signal: AbortSignal | undefined): BrokerError {
  return new BrokerError(
    "ABORTED",
    `aborted by the caller while waiting for the response to a request of protocol ${formatProtocol(protocol)}`,
    { cause: signal?.reason },
  );
}

export function closedByBackend(what: string, cause?: unknown): BrokerError {
  const errno = (cause as NodeJS.ErrnoException | undefined)?.code;
  return new BrokerError("CONNECTION_CLOSED", what, { ...(errno?.startsWith("E") && { details: { errno } }), cause });
}

export function maybeCarriedOut(): BrokerError {
  return new BrokerError(
    "CONNECTION_CLOSED",
    "the connection ended while it was being handed to the backend, which may or may not have carried the request out; mark requests that may run twice as idempotent",
  );
}

export function afterTheEnd(fault: BrokerError | undefined): BrokerError {
  if (fault === undefined) return new BrokerError("CONNECTION_CLOSED", "the session was closed by its owner");
  return new BrokerError("CONNECTION_CLOSED", `the session is over: ${fault.reason}`, { cause: fault });
}
