/**
 * Answers of a broker in another form than ours: what is odd in them shows as "?" or is refused with a code, and is no fault of
 * `rpb`. With --json an answer is passed on, whatever the text for people would make of it.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { encodeMessage } from "../../src/wire/codec.ts";
import { encodeResponse } from "../../src/wire/envelope.ts";
import { AdminReplyKind, AdminReplySchema } from "../../src/wire/messages.ts";
import { listen, onFirstFrame } from "../support/peers/scripted-server.ts";
import { type Cli, createCli } from "./support/cli.ts";

/** `String` of it throws once it has been parsed. */
const NO_TEXT = { toString: 1, valueOf: 1 };
const FIELDS = [
  ...[
    "broker_instance",
    "broker_pid",
    "version",
    "uptime_seconds",
    "connections_open",
    "generated_at_unix_ms",
    "output",
  ],
  ...["service_name", "service_version", "pid", "state", "backend_pipe", "pipe", "result", "detail", "kind", "reason"],
  ...["crashes", "last_exit", "last_log_lines", "last_error", "last_hello_unix_ms", "last_error_unix_ms", "ts_ms"],
  ...["attempts_used", "remaining", "retry_after_ms", "path", "size_bytes", "duration_ms", "switch_ms"],
];
const LISTS = [
  ...["backends", "draining", "crashes", "instances", "backend_table", "spawn_budgets"],
  "recent_lifecycle_events",
];
/** A body whose lists hold `rows`, whose other fields are all `value`. */
function bodyOf(value: unknown, rows: unknown): Record<string, unknown> {
  return {
    ...Object.fromEntries(FIELDS.map((name) => [name, value])),
    ...Object.fromEntries(LISTS.map((name) => [name, rows])),
    values: { group: { name: value } },
    effective_config: { group: value },
    bundle: { created: true, size_bytes: value, entries: rows },
  };
}
const row = (value: unknown): object => Object.fromEntries(FIELDS.map((name) => [name, value]));

const BODIES: Readonly<Record<string, unknown>> = {
  "rows that are none": bodyOf(1, [null, 7, "row", [null], [], true]),
  "null everywhere": bodyOf(null, [null, row(null)]),
  "objects without a text": bodyOf(NO_TEXT, [row(NO_TEXT), NO_TEXT]),
  "lists that are none": bodyOf([], NO_TEXT),
  "an error without a text": { error: { code: NO_TEXT, reason: NO_TEXT, message: NO_TEXT } },
  "an error that is none": { error: null },
  null: null,
};

async function brokerThatSays(t: TestContext, cli: Cli, body: unknown, exitCode = 0): Promise<string> {
  const reply = { body: JSON.stringify(body), kind: AdminReplyKind.JSON, exitCode };
  const { path } = await listen(t, join(cli.root, "b.sock"), (socket) =>
    onFirstFrame(socket, (frame) => {
      const payload = encodeMessage(AdminReplySchema, reply);
      socket.end(encodeResponse(frame, { payloadProtocol: frame.payloadProtocol, payload }));
    }),
  );
  return path;
}

function assertNoFault(args: readonly string[], text: string): void {
  assert.match(text.slice(0, 200), /\S/, args.join(" "));
  const at = text.search(/INTERNAL|undefined|\[object/);
  assert.equal(at, -1, `${args.join(" ")}: ${text.slice(Math.max(0, at - 40), at + 200)}`);
}

const VERBS = [
  ...["status", "dump", "config", "list-instances", "diagnose", "restart"].map((verb) => [verb]),
  ...[["backend-health", "demo"], ["release-handles", "/"], ["metrics"], ["why", "demo"]],
];

for (const [what, body] of Object.entries(BODIES)) {
  test(`${what}: no verb takes it for a fault of its own`, async (t) => {
    const cli = createCli(t);
    const socket = await brokerThatSays(t, cli, body);
    for (const words of VERBS)
      for (const more of [[], ["--json"]]) {
        const args = [...words, "--socket", socket, ...more];
        const { out, err } = await cli.rpb(args);
        assertNoFault(args, out + err);
      }
    // All brokers of the user, each by its own answer.
    const { out, err } = await cli.rpb(["status", "--all"]);
    assertNoFault(["status", "--all"], out + err);
  });

  test(`${what}: a broker that is asked to end and refuses is told by its refusal`, async (t) => {
    const cli = createCli(t);
    const socket = await brokerThatSays(t, cli, body, 1);
    const { err } = await cli.rpb(["stop", "--socket", socket]);
    assert.match(err.slice(0, 200), /^rpb: \[VERSION_UNSUPPORTED\]/);
  });
}

test("an answer in JSON is passed on as it is, also when no text can be made of it", async (t) => {
  const cli = createCli(t);
  const body = bodyOf(NO_TEXT, [null, NO_TEXT]);
  const socket = await brokerThatSays(t, cli, body);
  for (const words of [
    ["status"],
    ["dump"],
    ["config"],
    ["list-instances"],
    ["backend-health", "demo"],
    ["diagnose"],
  ]) {
    const { code, out, err } = await cli.rpb([...words, "--json", "--socket", socket]);
    assert.deepEqual([code, err], [0, ""], words.join(" "));
    assert.deepEqual(JSON.parse(out), body, words.join(" "));
  }
});
