/**
 * What is at a broker's address? Asked by a whole HEALTHZ exchange, never by an empty connection: a broker of the reference
 * ends when a client connects and closes without a word, and again when its reply meets a closed connection.
 */
import { Deadline } from "../base/clock.ts";
import { hasCode, isBrokerError } from "../base/errors.ts";
import type { Platform } from "../platform/ports/index.ts";
import { AdminVerb } from "../wire/messages.ts";
import { adminRequest } from "./admin-client.ts";

/** `none`: no socket is bound there. `other`: one is, and does not answer as a broker does, or not in time. */
export type AddressHolder = "none" | "broker" | "other";

/**
 * A broker of the reference answers one client after the other, and launches in between; a program that reads and never
 * answers costs this much.
 */
const ANSWER_MS = 5_000;

/** `none` only when the kernel says so: files are removed on the strength of it. @throws BrokerError PATH_TOO_LONG, ENDPOINT_INVALID */
export async function findListener(
  platform: Pick<Platform, "clock" | "transport" | "user">,
  path: string,
): Promise<AddressHolder> {
  if (!platform.transport.isBound(path)) return "none";
  try {
    await adminRequest(
      platform,
      path,
      { verb: AdminVerb.HEALTHZ },
      { deadline: Deadline.after(platform.clock, ANSWER_MS) },
    );
    return "broker";
  } catch (error) {
    if (!isBrokerError(error)) throw error;
    // It closed its socket meanwhile, or has bound it and does not listen (yet).
    return hasCode(error, "BROKER_UNAVAILABLE") && !platform.transport.isBound(path) ? "none" : "other";
  }
}
