/** What a broker's refusal means to the caller: its code, its facts, and whether a new try can help. */
import { BrokerError, codeOfWire, isPermanent, STORAGE_ERRNO } from "../base/errors.ts";
import type { Refused } from "../wire/messages.ts";

/** System calls that make or remove a name. A broker makes names in its own directories only. */
const NAMING_CALLS = ["bind", "mkdir", "rename", "symlink", "unlink"];

/** Did a file system, or a directory of the broker's, refuse what the broker had to write? */
function isUnwritable({ errno, syscall }: { errno?: string; syscall?: string }): boolean {
  if (STORAGE_ERRNO.includes(errno ?? "")) return syscall !== "connect";
  // Of other calls these say as well that a file of the service's cannot be read.
  return (errno === "EACCES" || errno === "EPERM") && NAMING_CALLS.includes(syscall ?? "");
}

export function refusal(refused: Refused): BrokerError {
  const { log_tail: logTail, log_path: logPath, exit, check, path, errno, syscall, error } = refused.details;
  const said = codeOfWire(refused.code);
  // The broker could not write what it must: no backend is to blame for that, and the file says more than the launch.
  const isStorage =
    said === "BACKEND_SPAWN_FAILED" &&
    error === "IO_FAILED" &&
    isUnwritable({ ...(errno && { errno }), ...(syscall && { syscall }) });
  // The hint on the wire is the reference's for every failed launch, whatever the cause.
  const isFinal =
    said === "BACKEND_SPAWN_FAILED" &&
    (check === "binary_path" || isPermanent({ code: error ?? "", details: errno === undefined ? {} : { errno } }));
  const retryAfterMs = isFinal ? 0 : Number(refused.retryAfterMs);
  return new BrokerError(
    isStorage ? "IO_FAILED" : said,
    refused.reason || `the broker refused with code ${refused.code}`,
    {
      details: {
        ...(retryAfterMs > 0 && { retryAfterMs }),
        ...(logTail && { logTail }),
        ...(logPath && { logPath }),
        ...(exit && { exit }),
        ...(check && { check }),
        ...(path && { path }),
        ...(errno && { errno }),
        ...(syscall && { syscall }),
      },
    },
  );
}
