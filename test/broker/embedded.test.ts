/** A broker inside another program: that program's errors are told from the broker's. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { promisify } from "node:util";
import { startBroker } from "../../src/broker/broker.ts";
import type { BrokerOptions } from "../../src/broker/options.ts";
import { createWorld, PROJECT, type World } from "../support/world.ts";

function optionsIn(world: World): BrokerOptions {
  return {
    platform: world.platform,
    env: world.env,
    endpoint: join(world.runtime, "b.sock"),
    definitionDirectory: world.definitions,
    definitionDirectorySource: "test",
    logDirectory: world.logs,
  };
}

async function stage(t: TestContext): Promise<BrokerOptions> {
  return optionsIn(await createWorld(t));
}

test("what onEvent throws at the start is passed on as it is, and the address is free again", async (t) => {
  const options = await stage(t);
  for (const own of [new TypeError("mine"), "a text", undefined]) {
    const onEvent = (): void => {
      throw own;
    };
    await assert.rejects(startBroker({ ...options, onEvent }), (error) => error === own);
    assert.equal(existsSync(options.endpoint), false);
  }
  const broker = await startBroker(options);
  await broker.stop({ reason: "requested" });
});

test("what onEvent throws later is an uncaught exception with its own stack, and the broker goes on", async (t) => {
  const world = await createWorld(t);
  const options = JSON.stringify({ ...optionsIn(world), platform: undefined });
  const source = `
    import { loadPlatform, startBroker } from "${join(PROJECT, "dist/broker/index.js")}";
    const heard = [];
    process.on("uncaughtException", (error) => heard.push(error.message));
    const onEvent = ({ type }) => {
      if (type === "broker-stopping") throw new TypeError("mine");
    };
    const broker = await startBroker({ ...${options}, platform: await loadPlatform(), onEvent });
    await broker.stop({ reason: "requested" });
    console.log(JSON.stringify([await broker.closed, heard]));
  `;
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", source]);
  assert.deepEqual(JSON.parse(stdout), ["requested", ["mine"]]);
});

test("wrong options of startBroker and stop are OPTION_INVALID and name the option", async (t) => {
  const options = await stage(t);
  const start = startBroker as (options?: unknown) => Promise<unknown>;
  const refused = (check: string) => ({ code: "OPTION_INVALID", details: { check } });
  await assert.rejects(start(), refused("options"));
  await assert.rejects(start(null), refused("options"));
  await assert.rejects(start({}), refused("platform"));
  for (const [check, wrong] of [
    ["platform.files", { platform: { ...options.platform, files: undefined } }],
    ["env", { env: undefined }],
    ["endpoint", { endpoint: 7 }],
    ["logDirectory", { logDirectory: undefined }],
    ["registered.endpoint", { registered: { service: "svc", version: "1.0.0" } }],
    ["maxConnections", { maxConnections: 0 }],
    ["idleExitMs", { idleExitMs: "1s" }],
    ["hellosPerSecond", { hellosPerSecond: -1 }],
    ["launch", { launch: "svc@1.0.0" }],
    ["onEvent", { onEvent: {} }],
  ] as const)
    await assert.rejects(start({ ...options, ...wrong }), refused(check));
  const { endpoint } = options;
  const registered = { service: "svc", version: "1.0.0", endpoint };
  for (const [code, wrong] of [
    ["ENDPOINT_INVALID", { endpoint: `${endpoint}\0.sock` }],
    ["ENDPOINT_INVALID", { endpoint: `${endpoint}\ud800` }],
    ["ENDPOINT_INVALID", { endpoint: `${endpoint}\ufffd` }],
    ["ENDPOINT_INVALID", { endpoint: "b.sock" }],
    ["ENDPOINT_INVALID", { endpoint: "" }],
    ["PATH_TOO_LONG", { endpoint: `/tmp/${"ü".repeat(60)}` }],
    ["ENDPOINT_INVALID", { registered: { ...registered, endpoint: "/tmp/a\0b" } }],
    ["ENDPOINT_INVALID", { registered: { ...registered, endpoint: "be.sock" } }],
    ["OPTION_INVALID", { registered: { ...registered, endpoint: "" } }],
    ["ENDPOINT_INVALID", { registered: { ...registered, handoffEndpoint: "/tmp/\udfff" } }],
    ["PATH_TOO_LONG", { registered: { ...registered, handoffEndpoint: `/${"h".repeat(107)}` } }],
    ["OPTION_INVALID", { definitionDirectory: "/tmp/\0" }],
    ["OPTION_INVALID", { logDirectory: "/tmp/\ud800x" }],
    ["OPTION_INVALID", { home: "/home/\0" }],
  ] as const)
    await assert.rejects(start({ ...options, ...wrong }), { code }, JSON.stringify(wrong));
  // What a lone surrogate comes to is a file with U+FFFD in its name.
  assert.equal(existsSync(dirname(endpoint)), false);
  const broker = await startBroker(options);
  await assert.rejects((broker.stop as (options?: unknown) => Promise<void>)(), refused("options"));
  await broker.stop({ reason: "requested" });
});
