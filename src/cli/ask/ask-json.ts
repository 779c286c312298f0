/** Admin verbs whose answer is one JSON object. */
import { BrokerError } from "../../base/errors.ts";
import type { AdminQuery } from "../../exchange/admin-client.ts";
import type { CliContext } from "../shell/context.ts";
import { type JsonObject, parseObject } from "../text/json.ts";
import { askBroker } from "./ask-broker.ts";
import type { Permission } from "./permissions.ts";

export interface JsonAnswer {
  /** As it came. */
  readonly body: string;
  readonly object: JsonObject;
  readonly exitCode: number;
}

/**
 * @param options.timeout milliseconds for the answer
 * @throws BrokerError as `askBroker`; MESSAGE_MALFORMED for an answer of another form, with its text when it is one
 */
export async function askJson(
  context: CliContext,
  permission: Permission,
  endpoint: string,
  query: AdminQuery,
  options: { readonly timeout?: number } = {},
): Promise<JsonAnswer> {
  const { body, exitCode, kind } = await askBroker(context, permission, endpoint, query, {
    ...(options.timeout !== undefined && { timeoutMs: options.timeout }),
  });
  const object = parseObject(body);
  if (object !== undefined) return { body, object, exitCode };
  const what = kind === "text" ? `with the text ${JSON.stringify(body.trimEnd().slice(0, 200))}` : "something";
  throw new BrokerError("MESSAGE_MALFORMED", `the broker on ${endpoint} answered ${what}, which is no JSON object`, {
    details: { path: endpoint },
  });
}
