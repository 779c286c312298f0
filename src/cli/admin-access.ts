/** Admin requests of a verb, within its permission. */
import { posix } from "node:path";
import { Deadline } from "../base/clock.ts";
import {
  type AdminAnswer,
  type AdminQuery,
  type AdminRequestOptions,
  adminRequest,
  adminTimeoutMs,
} from "../exchange/admin-client.ts";
import { AdminVerb } from "../wire/messages.ts";
import type { CliContext } from "./context.ts";
import type { Permission } from "./permissions.ts";

/** Admin verbs that end something. */
const STOPS: ReadonlySet<AdminVerb> = new Set([AdminVerb.SHUTDOWN, AdminVerb.RESTART]);

/**
 * Asks the broker at `endpoint`; it is never started.
 *
 * @throws BrokerError DIRECTORY_INSECURE, and as `adminRequest`; a plain Error when the verb's permission does not cover the request
 */
export async function askBroker(
  context: CliContext,
  permission: Permission,
  endpoint: string,
  query: AdminQuery,
  options: Omit<AdminRequestOptions, "deadline"> & { timeoutMs?: number } = {},
): Promise<AdminAnswer> {
  if (STOPS.has(query.verb) && !permission.mayStop)
    throw new Error(`admin verb ${query.verb} ends a broker, which this command may not do`);
  const platform = await context.platform();
  const deadline = Deadline.after(platform.clock, options.timeoutMs ?? adminTimeoutMs(context.io.env));
  platform.files.checkConnectDirectory(posix.dirname(endpoint));
  return adminRequest(platform, endpoint, query, { deadline, ...(options.holdPeer && { holdPeer: true }) });
}
