/** What a client is told of a launch that failed. */
import { type BrokerError, isBrokerError, reasonOf } from "../../base/errors.ts";
import { type Refusal, refuse } from "../../model/refusal.ts";

/** Hint for refused Hellos. Frozen. */
export const SPAWN_RETRY_MS = 1000;
/** What of a backend's output goes into the reason text, for clients that drop the details. */
const REASON_TAIL_CHARS = 400;

/** Of whatever failed on the way up: the frozen prefix, the reason, and the backend's last words. */
export function spawnRefusal(error: unknown): Refusal {
  const details: Record<string, string> = {};
  if (isBrokerError(error)) Object.assign(details, spawnDetails(error));
  const lastWords =
    details.log_tail === undefined ? "" : `; last output: ${details.log_tail.slice(-REASON_TAIL_CHARS)}`;
  return refuse("BACKEND_SPAWN_FAILED", `backend spawn failed: ${reasonOf(error)}${lastWords}`, {
    retryAfterMs: SPAWN_RETRY_MS,
    details,
  });
}

function spawnDetails(error: BrokerError): Record<string, string> {
  const { logTail, logPath, exit, check, path, syscall, errno } = error.details;
  return {
    error: error.code,
    ...(logTail !== undefined && logTail !== "" && { log_tail: logTail }),
    ...(logPath !== undefined && { log_path: logPath }),
    ...(exit !== undefined && { exit }),
    ...(check !== undefined && { check }),
    ...(path !== undefined && { path }),
    ...(syscall !== undefined && { syscall }),
    ...(errno !== undefined && { errno }),
  };
}
