/**
 * What other processes wrote does not reach a terminal as it is, whatever the verb: answers of a broker that is not to be
 * trusted, output of backends, definitions, records on disk. A pseudo-terminal of script(1) has both streams of `rpb`.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { encodeLifecycleEvent, type LifecycleEvent } from "../../src/model/lifecycle-event.ts";
import { encodeMessage } from "../../src/wire/codec.ts";
import { encodeResponse } from "../../src/wire/envelope.ts";
import { AdminReplyKind, AdminReplySchema, ErrorCode } from "../../src/wire/messages.ts";
import { encodeRefused, listen, onFirstFrame } from "../support/peers/scripted-server.ts";
import { createWorld, RPB, type World } from "../support/world.ts";
import { createCli } from "./support/cli.ts";

const EVIL = "\u001b]0;PWNED\u0007\u001b[2J\u001b[31mRED\u009b2J\u007f\u202e\u2028\u0008\r\nFORGED line";
/** Payload protocol of a Hello. */
const HELLO = 0;
/** Allowed in a terminal: text, and the line ends and tabs that are ours. */
const STEERING = /[^\P{Cc}\r\n\t]|[\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]|\r(?!\n)/u;

interface Shown {
  readonly verb: string;
  readonly text: string;
}

async function inTerminal(world: World, program: string, args: readonly string[]): Promise<Shown> {
  const command = [process.execPath, program, ...args].map((word) => `'${word}'`).join(" ");
  const { stdout } = await world.run("script", ["-qec", command, "/dev/null"], {
    env: { TERM: "xterm", SHELL: "/bin/sh" },
  });
  return { verb: args.join(" "), text: stdout };
}

function assertHarmless({ verb, text }: Shown, options: { document?: boolean } = {}): void {
  assert.notEqual(text, "", `${verb} says something`);
  const at = STEERING.exec(text);
  assert.equal(at, null, `${verb}: ${JSON.stringify(text.slice(Math.max(0, (at?.index ?? 0) - 40)).slice(0, 100))}`);
  if (!options.document) assert.doesNotMatch(text, /^\s*FORGED/m, `${verb}: a line of ours was forged`);
}

const ROW = {
  service_name: EVIL,
  service_version: EVIL,
  pid: EVIL,
  state: EVIL,
  backend_pipe: EVIL,
  last_error: EVIL,
  last_hello_unix_ms: 1,
  last_error_unix_ms: 1,
  crashes: 2,
  last_exit: EVIL,
  last_log_lines: `x\n${EVIL}\n`,
  attempts_used: 1,
  remaining: 1,
  kind: EVIL,
  reason: EVIL,
  ts_ms: 1,
  broker_instance: EVIL,
  pipe: EVIL,
  result: EVIL,
  detail: EVIL,
  path: EVIL,
  size_bytes: EVIL,
};

/** All that a broker can say, and everywhere what it should not. */
const BODY = JSON.stringify({
  broker_instance: EVIL,
  broker_pid: 1,
  generated_at_unix_ms: 5,
  uptime_seconds: 1,
  service_name: EVIL,
  backends: [ROW, "no row", null],
  draining: [ROW],
  crashes: [ROW],
  instances: [ROW],
  backend_table: [ROW],
  spawn_budgets: [ROW],
  recent_lifecycle_events: [ROW],
  values: { [EVIL]: { [EVIL]: { value: [EVIL], source: EVIL } } },
  effective_config: { [EVIL]: { [EVIL]: { value: EVIL, source: EVIL } } },
  output: EVIL,
  bundle: { created: true, size_bytes: EVIL, entries: [ROW] },
});
const METRICS = `# TYPE x gauge\n# HELP x ${EVIL.replaceAll("\r\n", "")}\nx{a="${EVIL.replaceAll("\r\n", "")}"} 1\n# EOF\n`;

async function evilBroker(
  t: TestContext,
  path: string,
  reply: { body: string; kind: AdminReplyKind },
): Promise<string> {
  const server = await listen(t, path, (socket) =>
    onFirstFrame(socket, (frame) => {
      const payload =
        frame.payloadProtocol === HELLO
          ? encodeRefused({ code: ErrorCode.ERROR_SERVICE_UNKNOWN, reason: EVIL })
          : encodeMessage(AdminReplySchema, { ...reply, exitCode: 0 });
      socket.end(encodeResponse(frame, { payloadProtocol: frame.payloadProtocol, payload }));
    }),
  );
  return server.path;
}

test("answers of a broker that is not to be trusted", async (t) => {
  const cli = createCli(t);
  const brokerOf = (name: string, body: string, kind: AdminReplyKind): Promise<string> =>
    evilBroker(t, join(cli.root, name), { body, kind });
  const json = await brokerOf("json", BODY, AdminReplyKind.JSON);
  const text = await brokerOf("text", EVIL, AdminReplyKind.TEXT);
  const metrics = await brokerOf("metrics", METRICS, AdminReplyKind.OPENMETRICS);
  const failure = { code: EVIL, reason: EVIL, message: EVIL };
  const failed = await brokerOf("failed", JSON.stringify({ error: failure }), AdminReplyKind.JSON);
  const other = await brokerOf("other", JSON.stringify([EVIL]), AdminReplyKind.JSON);
  const verbs = [
    ...["status", "dump", "config", "list-instances", "diagnose", "restart"].map((verb) => [verb]),
    ["backend-health", "demo"],
    ["release-handles", "/"],
    ["metrics"],
    ["healthz"],
    ["readyz"],
    ["why", "demo"],
  ];
  for (const socket of [json, text, metrics, failed, other]) {
    for (const words of verbs)
      for (const more of [[], ["--json"]]) {
        const args = [...words, "--socket", socket, ...more];
        const { out, err } = await cli.rpb(args, { terminal: true });
        assertHarmless({ verb: args.join(" "), text: out + err }, { document: /z$/.test(words[0] ?? "") });
        assert.doesNotMatch(err, /\[INTERNAL\]/, args.join(" "));
      }
    for (const more of [[], ["--json"]]) {
      const { out, err } = await cli.rpb(["connect", "demo", "1.0.0", "--broker", socket, ...more], { terminal: true });
      assertHarmless({ verb: "connect", text: out + err });
    }
    for (const words of [["status"], ["status", "--json"], ["dump"], ["metrics"], ["backend-health", "demo"]]) {
      const { out, err } = await cli.compat(["--socket", socket, ...words], { terminal: true });
      assertHarmless({ verb: `compat ${words.join(" ")}`, text: out + err }, { document: true });
    }
  }
  const { out, err } = await cli.rpb(["metrics", "--openmetrics", "--socket", metrics], { terminal: true });
  assertHarmless({ verb: "metrics --openmetrics", text: out + err }, { document: true });
});

test("output of backends, definitions, and what is on record", async (t) => {
  const world = await createWorld(t);
  const program = join(world.root, "bin", "evil.sh");
  mkdirSync(join(world.root, "bin"), { recursive: true });
  writeFileSync(program, `#!/bin/sh\nprintf '%s\\n' "$EVIL" >&2\nprintf '%s\\n' "$EVIL"\nexit 3\n`, { mode: 0o755 });
  world.define({ serviceName: "bad", binaryPath: program, labels: { "exec.env.EVIL": EVIL, [`note.${EVIL}`]: EVIL } });
  world.define({ serviceName: "odd", binaryPath: `/nowhere/${EVIL}`, perVersionBinaryDir: "/nowhere", minVersion: "" });
  const broker = await world.startBroker(["--socket", join(world.root, "b.sock")]);
  const env = { RUNNING_PROCESS_BROKER_V1_SOCKET: broker.endpoint };
  Object.assign(world.env, env);
  const refused = await inTerminal(world, RPB, ["connect", "bad", "1.0.0"]);
  assertHarmless(refused);
  assert.match(refused.text, /PWNED/, "its last words are shown");
  assertHarmless(await inTerminal(world, RPB, ["connect", "odd", "1.0.0"]));
  appendFileSync(
    join(world.logs, "lifecycle.jsonl"),
    encodeLifecycleEvent({
      tsMs: 5,
      kind: "SPAWN",
      service: EVIL,
      pid: 7,
      reason: EVIL,
      extra: { type: EVIL, version: EVIL },
      severity: "INFO",
      requestId: EVIL,
      connectionId: 0,
      instance: EVIL,
    } as LifecycleEvent),
  );
  for (const args of [
    ["status"],
    ["why", "bad"],
    ["why", "bad", "--json"],
    ["events"],
    ["events", "--json"],
    ["backend-health", "bad"],
    ["backend-health", "bad", "--json"],
    ["dump"],
    ["dump", "--json"],
    ["service", "list"],
    ["service", "list", "--json"],
    ["service", "show", "bad"],
    ["service", "show", "bad", "--toml"],
    ["service", "show", "bad", "--json"],
    ["service", "check", "bad"],
    ["service", "check", "odd", "--version", "1.0.0"],
    ["service", "check", "odd", "--json"],
    ["service", "add", "bad", "--binary", "/bin/true"],
  ])
    assertHarmless(await inTerminal(world, RPB, args));
  assertHarmless(await inTerminal(world, RPB, ["logs", "bad"]), { document: true });
  const piped = await world.run(process.execPath, [RPB, "logs", "bad"]);
  assert.ok(piped.stdout.includes(EVIL), "a pipe gets the log as the backend wrote it");
  await broker.stop();
});

test("the broker's own log in a terminal", async (t) => {
  const world = await createWorld(t);
  const program = join(world.root, "bin", "evil.sh");
  writeFileSync(program, `#!/bin/sh\nprintf '%s\\n' "$EVIL" >&2\nexit 3\n`, { mode: 0o755 });
  world.define({ serviceName: "bad", binaryPath: program, labels: { "exec.env.EVIL": EVIL } });
  const endpoint = join(world.root, "b.sock");
  const command = `'${process.execPath}' '${RPB}' serve --log-format pretty --max-connections 1 --socket '${endpoint}'`;
  const child = world.track(
    spawn("script", ["-qec", command, "/dev/null"], { env: { ...world.env, SHELL: "/bin/sh" } }),
  );
  let text = "";
  child.stdout?.setEncoding("utf8");
  await new Promise<void>((resolve) =>
    child.stdout?.on("data", (chunk: string) => {
      text += chunk;
      if (text.includes("ready ")) resolve();
    }),
  );
  const ended = once(child, "close");
  const connect = [RPB, "connect", "bad", "1.0.0", "--broker", endpoint, "--no-start"];
  const { stderr } = await world.run(process.execPath, connect);
  assert.match(stderr, /BACKEND_SPAWN_FAILED/);
  await ended;
  // Colours are the log's own.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what a colour begins with.
  assertHarmless({ verb: "serve", text: text.replace(/\u001b\[\d+m/g, "") });
  assert.match(text, /PWNED/, "the event with the backend's words was logged");
});
