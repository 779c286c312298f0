/** What a client loads and when, its options, and sessions. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import type { Socket } from "node:net";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { clientWith, stage } from "../../test/client/support/client-stage.ts";
import { answerHello, encodeNegotiated, listen, onFirstFrame } from "../../test/support/peers/scripted-server.ts";
import { BrokerError } from "../base/errors.ts";
import { systemClock } from "../platform/node/clock.ts";
import { loadPlatform, placeInputs } from "../platform/platform.ts";
import { encodeResponse } from "../wire/envelope.ts";
import { createClient } from "./connect.ts";

test("all calls share one platform; one that could not be loaded is loaded anew by the next call", async (t) => {
  const { options, env } = await stage(t);
  const { client, loads } = clientWith(env);
  for (let call = 0; call < 3; call++) await assert.rejects(client.connect(options), { code: "BROKER_UNAVAILABLE" });
  assert.equal(loads(), 1);

  let failures = 0;
  const unlucky = createClient({
    clock: systemClock,
    env: () => env,
    places: placeInputs,
    loadPlatform: () => {
      failures += 1;
      return failures === 1 ? Promise.reject(new BrokerError("IO_FAILED", "no library")) : loadPlatform();
    },
  });
  await assert.rejects(unlucky.connect(options), { code: "IO_FAILED" });
  await assert.rejects(unlucky.connect(options), { code: "BROKER_UNAVAILABLE" });
  assert.equal(failures, 2);
});

test("RUNNING_PROCESS_DISABLE=1 without a fallback: BROKER_DISABLED, and the platform is not loaded", async (t) => {
  const { options, env } = await stage(t);
  const { client, loads } = clientWith({ ...env, RUNNING_PROCESS_DISABLE: "1" });
  await assert.rejects(client.connect(options), { code: "BROKER_DISABLED" });
  await assert.rejects(client.openSession(options), { code: "BROKER_DISABLED" });
  assert.equal(loads(), 0);
});

test("a limit that is no number is refused with the option's name, before anything is loaded", async (t) => {
  const { options, env } = await stage(t);
  const { client, loads } = clientWith(env);
  for (const timeoutMs of ["5000", 5000n, null, {}, Number.NaN] as unknown as number[])
    for (const call of [client.connect, client.openSession])
      await assert.rejects(call({ ...options, timeoutMs }), {
        code: "OPTION_INVALID",
        details: { check: "timeoutMs" },
      });
  assert.equal(loads(), 0);
});

for (const value of ["", "0", "true", " 1", "1 ", "11"]) {
  test(`RUNNING_PROCESS_DISABLE=${JSON.stringify(value)} is DISABLE_ENV_INVALID, and the fallback is not asked`, async (t) => {
    const { options, env } = await stage(t);
    const { client, loads } = clientWith({ ...env, RUNNING_PROCESS_DISABLE: value });
    const fallback = (): Promise<Socket> => assert.fail("the fallback was asked");
    await assert.rejects(client.connect({ ...options, fallback }), { code: "DISABLE_ENV_INVALID" });
    assert.equal(loads(), 0);
  });
}

test("bad options are refused even when the broker is off, without the fallback and without the platform", async (t) => {
  const { env, direct } = await stage(t);
  const { client, loads } = clientWith({ ...env, RUNNING_PROCESS_DISABLE: "1" });
  await assert.rejects(client.connect({ service: "Bad Name", version: "1.2.3", fallback: direct }), {
    code: "NAME_INVALID",
  });
  assert.equal(loads(), 0);
});

test("the option's environment goes before the process's", async (t) => {
  const { options, env } = await stage(t);
  const { client } = clientWith({ ...env, RUNNING_PROCESS_DISABLE: "1" });
  await assert.rejects(client.connect({ ...options, env }), { code: "BROKER_UNAVAILABLE" });
});

test("a session tells how it was reached and speaks frames", async (t) => {
  const { options, env, brokerPath } = await stage(t);
  const backend = await listen(t, `${brokerPath}-be`, (socket) => {
    onFirstFrame(socket, (frame) =>
      socket.write(encodeResponse(frame, { payloadProtocol: frame.payloadProtocol, payload: Buffer.from("pong") })),
    );
  });
  await listen(t, brokerPath, (socket) =>
    answerHello(socket, () => encodeNegotiated({ backendPipe: backend.path, connectionId: 9n })),
  );
  await using session = await clientWith(env).client.openSession(options);
  const { connection } = session;
  assert.ok(connection.route === "negotiated" && connection.negotiated.connectionId === 9n);
  assert.equal("socket" in connection, false);
  assert.equal(Buffer.from(await session.request(0xf001, Buffer.from("ping"))).toString(), "pong");
});

test("importing the entry loads neither koffi nor protobuf nor anything else from outside", () => {
  const hooks = `import { writeSync } from "node:fs";
    export async function resolve(specifier, context, next) {
      const found = await next(specifier, context);
      writeSync(1, found.url + "\\n");
      return found;
    }`;
  const entry = fileURLToPath(new URL("index.ts", import.meta.url));
  const program = `import { register } from "node:module";
    register("data:text/javascript,${encodeURIComponent(hooks)}");
    const client = await import(${JSON.stringify(entry)});
    const options = { service: "demo", version: "1.2.3", env: { RUNNING_PROCESS_DISABLE: "1" } };
    const code = await client.connect(options).catch((error) => error.code);
    if (code !== "BROKER_DISABLED") throw new Error(code);`;
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    ["--import", "tsx", "--input-type=module", "-e", program],
    { encoding: "utf8" },
  );
  assert.equal(status, 0, stderr);
  const loaded = stdout.split("\n").filter((url) => url !== "");
  assert.ok(
    loaded.some((url) => url.includes("client/connect.ts")),
    stdout,
  );
  assert.deepEqual(
    loaded.filter((url) => /koffi|\/wire\/(messages|schema|codec)\.ts/.test(url)),
    [],
  );
});
