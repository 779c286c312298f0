/** Does somebody listen at an address? Looks by connecting and closing at once; the listener sees an empty connection. */
import { Deadline } from "../base/clock.ts";
import { hasCode } from "../base/errors.ts";
import type { Platform } from "../platform/ports.ts";

/** Long enough for a momentarily full backlog to move. */
const TIMEOUT_MS = 250;

/** What connect(2) says when there is no listener. */
const NOBODY = ["ECONNREFUSED", "ENOENT", "ENOTDIR"];

/**
 * False only when the kernel says that nobody listens: files are removed and processes ended on the strength of it. A
 * backlog that stays full belongs to a busy listener, and want of descriptors on our side says nothing. Never rejects.
 */
export async function acceptsConnections(
  platform: Pick<Platform, "clock" | "transport">,
  path: string,
): Promise<boolean> {
  try {
    (await platform.transport.connect(path, Deadline.after(platform.clock, TIMEOUT_MS))).close();
    return true;
  } catch (error) {
    return !hasCode(error, "IO_FAILED") || !NOBODY.includes(error.details.errno ?? "");
  }
}
