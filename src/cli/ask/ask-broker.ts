/** Admin requests of a verb, within its permission. */
import { Deadline } from "../../base/clock.ts";
import { BrokerError } from "../../base/errors.ts";
import {
  type AdminAnswer,
  type AdminQuery,
  type AdminRequestOptions,
  adminRequest,
  adminTimeoutMs,
} from "../../exchange/admin-client.ts";
import { AdminVerb } from "../../wire/messages.ts";
import type { CliContext } from "../shell/context.ts";
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
  platform.files.checkConnectDirectory(platform.paths.dirname(endpoint));
  return adminRequest(platform, endpoint, query, { deadline, ...(options.holdPeer && { holdPeer: true }) });
}

/** Does the broker not know the verb? Frozen beginning of the answer of every make and version (spec: admin §2). */
export function isUnknown({ body, exitCode }: Pick<AdminAnswer, "body" | "exitCode">): boolean {
  return exitCode === 2 && body.startsWith("unsupported admin verb");
}

/** For a broker that answered, and does not know the request. `cannot`: what it cannot do. `cure`: what the user can do instead. */
export function requestUnknown(
  endpoint: string,
  answer: Pick<AdminAnswer, "body">,
  { cannot, cure }: { readonly cannot: string; readonly cure: string },
): BrokerError {
  return new BrokerError(
    "VERSION_UNSUPPORTED",
    `the broker on ${endpoint} cannot ${cannot} (${answer.body.trim()}): it is of another version or make; ${cure}`,
    { details: { path: endpoint } },
  );
}
