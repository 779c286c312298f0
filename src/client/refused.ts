/** What a broker's refusal means to the caller: its code, its facts, and whether a new try can help. */
import { BrokerError, codeOfWire, STORAGE_ERRNO } from "../base/errors.ts";
import type { Refused } from "../wire/messages.ts";

/** What a system call says of a file system or a directory that the broker may not, or cannot, write to. */
const UNWRITABLE = [...STORAGE_ERRNO, "EACCES", "EPERM"];

export function refusal(refused: Refused): BrokerError {
  const { log_tail: logTail, log_path: logPath, exit, check, path, errno, syscall, retry } = refused.details;
  const said = codeOfWire(refused.code);
  // The broker could not write what it must: no backend is to blame for that, and the file says more than the launch.
  const isStorage =
    said === "BACKEND_SPAWN_FAILED" &&
    refused.details.error === "IO_FAILED" &&
    UNWRITABLE.includes(errno ?? "") &&
    syscall !== "connect";
  // The hint on the wire is the reference's, whatever the cause.
  const retryAfterMs = retry === "never" ? 0 : Number(refused.retryAfterMs);
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
