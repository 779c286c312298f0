/** What no address can be made of: a coded error that names where the value came from, and no advice to try again. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { RPB } from "../support/world.ts";
import { createTool, ofBytes } from "./support/tool.ts";

for (const [value, code, why] of [
  ["relative/run", "ENDPOINT_INVALID", /XDG_RUNTIME_DIR is not an absolute path: "relative\/run"/],
  ["/run/\ufffd", "ENDPOINT_INVALID", /XDG_RUNTIME_DIR is not valid UTF-8/],
] as const) {
  test(`XDG_RUNTIME_DIR=${JSON.stringify(value)} is refused by every verb and by clients`, async (t) => {
    const tool = await createTool(t, ofBytes(19));
    const { world } = tool;
    const env = { XDG_RUNTIME_DIR: value };
    for (const args of [["status"], ["list-instances"], ["stop", "--all"], ["serve"], ["healthz"]]) {
      const refused = await world.run(process.execPath, [RPB, ...args], { env });
      assert.equal(refused.code, 78, args[0]);
      assert.match(refused.stderr, new RegExp(`\\[${code}\\]`));
      assert.match(refused.stderr, why);
    }
    const client = await world.run(process.execPath, [join(world.root, "bin/client.mjs"), "tool", "1.0.0", "x"], {
      env,
    });
    assert.equal(JSON.parse(client.stdout).code, code);
  });
}

test("a variable whose bytes are no UTF-8 is refused, not read as another path", async (t) => {
  const { world } = await createTool(t, ofBytes(19));
  const script = `XDG_RUNTIME_DIR=$(printf '/run/\\377') exec "$0" "$1" status`;
  const refused = await world.run("/bin/sh", ["-c", script, process.execPath, RPB]);
  assert.equal(refused.code, 78);
  assert.match(refused.stderr, /\[ENDPOINT_INVALID\] XDG_RUNTIME_DIR is not valid UTF-8/);
});

test("a socket that does not fit is refused by the name of its option or variable, and never to be tried again", async (t) => {
  const tool = await createTool(t, ofBytes(19));
  const socket = `/${"x".repeat(107)}`;
  const rows: readonly (readonly [readonly string[], Record<string, string>, string])[] = [
    [["status", "--socket", socket], {}, "--socket"],
    [["serve", "--socket", socket], {}, "--socket"],
    [["connect", "tool", "1.0.0", "--broker", socket], {}, "--broker"],
    [["healthz"], { RUNNING_PROCESS_BROKER_V1_SOCKET: socket }, "RUNNING_PROCESS_BROKER_V1_SOCKET"],
    [["connect", "tool", "1.0.0"], { RUNNING_PROCESS_BROKER_V1_SOCKET: socket }, "RUNNING_PROCESS_BROKER_V1_SOCKET"],
  ];
  for (const [args, env, source] of rows) {
    const refused = await tool.world.run(process.execPath, [RPB, ...args], { env });
    assert.equal(refused.code, 78);
    assert.match(refused.stderr, /\[PATH_TOO_LONG\] socket path has 108 bytes, Linux sun_path holds 107: /);
    assert.ok(refused.stderr.includes(`(from ${source}; give a shorter one)`), refused.stderr);
    assert.doesNotMatch(refused.stderr, /try again/);
  }
});

test("a launch that can never succeed is not advised to be tried again", async (t) => {
  const tool = await createTool(t, ofBytes(19));
  const tooLong = { "handoff.endpoint": `{endpoint}${"h".repeat(60)}` };
  for (const [service, init, why] of [
    ["too-long", { labels: tooLong }, /socket path has \d+ bytes, .*from the label handoff.endpoint/],
    ["missing", { binaryPath: join(tool.world.root, "bin/none") }, /could not be canonicalized: ENOENT/],
  ] as const) {
    tool.world.define({ serviceName: service, ...init });
    const refused = await tool.rpb("connect", service, "1.0.0");
    assert.match(refused.stderr, /\[BACKEND_SPAWN_FAILED\]/);
    assert.match(refused.stderr, why);
    assert.doesNotMatch(refused.stderr, /try again/);
  }
});
