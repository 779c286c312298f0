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

/** `timeoutMs`: for the answer. Default: that of the environment, else 30 s. */
export type AskOptions = Omit<AdminRequestOptions, "deadline"> & { readonly timeoutMs?: number };

/**
 * Asks the broker at `endpoint` for a verb with this permission; the broker is never started.
 *
 * @throws BrokerError as `askAt`; a plain Error when the verb's permission does not cover the request
 */
export async function askBroker(
  context: CliContext,
  permission: Permission,
  endpoint: string,
  query: AdminQuery,
  options: AskOptions = {},
): Promise<AdminAnswer> {
  if (STOPS.has(query.verb) && !permission.mayStop)
    throw new Error(`admin verb ${query.verb} ends a broker, which this command may not do`);
  return askAt(context, endpoint, query, options);
}

/**
 * The same without a verb of `rpb`, for the compat binary.
 *
 * @throws BrokerError DIRECTORY_INSECURE, and as `adminRequest`
 */
export async function askAt(
  context: CliContext,
  endpoint: string,
  query: AdminQuery,
  options: AskOptions = {},
): Promise<AdminAnswer> {
  const platform = await context.platform();
  const deadline = Deadline.after(platform.clock, options.timeoutMs ?? adminTimeoutMs(context.io.env));
  platform.files.checkConnectDirectory(posix.dirname(endpoint));
  return adminRequest(platform, endpoint, query, { deadline, ...(options.holdPeer && { holdPeer: true }) });
}
