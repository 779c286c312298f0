/** Admin verbs, asked by hand. */
import assert from "node:assert/strict";
import { strictOpenMetrics } from "../../../../src/model/open-metrics.ts";
import { encodeMessage } from "../../../../src/wire/codec.ts";
import { encodeRequest } from "../../../../src/wire/envelope.ts";
import {
  type AdminReply,
  AdminReplyKind,
  type AdminRequest,
  AdminRequestSchema,
  AdminVerb,
} from "../../../../src/wire/messages.ts";
import type { Init } from "../../../../src/wire/schema.ts";
import { type ParsedFamily, parseStrictly } from "../../../support/open-metrics-parser.ts";
import { adminReply, converse } from "../../../support/peers/raw-peer.ts";

export type AdminRequestInit = Init<AdminRequest>;

export function requestBytes(request: AdminRequestInit): Buffer {
  return encodeRequest({ payloadProtocol: 0xad01, payload: encodeMessage(AdminRequestSchema, request), requestId: 1n });
}

export async function ask(endpoint: string, request: AdminRequestInit): Promise<AdminReply> {
  return adminReply(await converse(endpoint, requestBytes(request)));
}

/** The body of a JSON verb, which must be compact. */
export async function askJson<T>(endpoint: string, request: AdminRequestInit, exitCode = 0): Promise<T> {
  const reply = await ask(endpoint, request);
  assert.deepEqual(
    [reply.kind, reply.exitCode, reply.contentType],
    [AdminReplyKind.JSON, exitCode, "application/json"],
  );
  const value = JSON.parse(reply.body) as T;
  assert.equal(reply.body, JSON.stringify(value));
  return value;
}

export interface Scrape {
  readonly text: string;
  readonly families: readonly ParsedFamily[];
  /** A sample by its name without prefix, and labels as "a=x b=y"; undefined when it is not there. */
  value(sample: string, labels?: string): number | undefined;
}

const PREFIX = "running_process_broker_v1_";

/** Reads the metrics, which a strict parser must take in both spellings. */
export async function scrape(endpoint: string): Promise<Scrape> {
  const reply = await ask(endpoint, { verb: AdminVerb.METRICS });
  assert.deepEqual(
    [reply.kind, reply.exitCode, reply.contentType],
    [AdminReplyKind.OPENMETRICS, 0, "application/openmetrics-text"],
  );
  const families = parseStrictly(reply.body, { frozenCounterNames: true });
  assert.deepEqual(parseStrictly(strictOpenMetrics(reply.body)), families);
  const values = new Map(
    families
      .flatMap(({ samples }) => samples)
      .map(({ name, labels, value }) => [
        `${name} ${Object.entries(labels)
          .map((pair) => pair.join("="))
          .join(" ")}`,
        value,
      ]),
  );
  return { text: reply.body, families, value: (sample, labels = "") => values.get(`${PREFIX}${sample} ${labels}`) };
}
