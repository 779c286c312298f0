/** Does somebody listen at an address? Looks by connecting and closing at once; the listener sees an empty connection. */
import { Deadline } from "../base/clock.ts";
import { hasCode } from "../base/errors.ts";
import type { Platform } from "../platform/ports.ts";

/** Long enough for a momentarily full backlog to move. */
const TIMEOUT_MS = 250;

/** A backlog that stays full is a busy listener, not a dead one. Never rejects. */
export async function acceptsConnections(
  platform: Pick<Platform, "clock" | "transport">,
  path: string,
): Promise<boolean> {
  try {
    (await platform.transport.connect(path, Deadline.after(platform.clock, TIMEOUT_MS))).close();
    return true;
  } catch (error) {
    return hasCode(error, "DEADLINE_EXCEEDED");
  }
}
