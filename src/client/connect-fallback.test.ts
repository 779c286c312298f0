/** The caller's own path: when it is taken, and what it may yield. */
import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { test } from "node:test";
import { clientWith, stage } from "../../test/client/support/client-stage.ts";
import { answerHello, encodeRefused, listen } from "../../test/support/peers/scripted-server.ts";
import type { BrokerError } from "../base/errors.ts";
import { systemClock } from "../platform/node/clock.ts";
import { loadPlatform, placeInputs } from "../platform/platform.ts";
import { createClient } from "./connect.ts";
import type { ConnectOptions } from "./options.ts";

test("RUNNING_PROCESS_DISABLE=1 with a fallback: its socket, its route, the reason, and the platform is not loaded", async (t) => {
  const { options, env, direct } = await stage(t);
  const { client, loads } = clientWith({ ...env, RUNNING_PROCESS_DISABLE: "1" });
  const reasons: BrokerError[] = [];
  const fallback = (error: BrokerError): Promise<Socket> => {
    reasons.push(error);
    return direct();
  };
  const connected = await client.connect({ ...options, fallback });
  assert.ok(connected.route === "fallback");
  assert.equal(connected.fallbackReason.code, "BROKER_DISABLED");
  assert.deepEqual(reasons, [connected.fallbackReason]);
  await using session = await client.openSession({ ...options, fallback });
  assert.equal(session.connection.route, "fallback");
  assert.equal(Buffer.from(await session.request(0xf001, Buffer.from("echo"))).toString(), "echo");
  assert.equal(loads(), 0);
});

test("a fallback that yields no socket is the caller's error, and leaves no rejection that ends the process", async (t) => {
  const { options, env } = await stage(t);
  const { client } = clientWith({ ...env, RUNNING_PROCESS_DISABLE: "1" });
  const unhandled: unknown[] = [];
  const hear = (reason: unknown): void => void unhandled.push(reason);
  process.on("unhandledRejection", hear);
  t.after(() => process.off("unhandledRejection", hear));
  for (const yielded of [undefined, null, 7, {}, { destroy() {} }]) {
    const fallback = (async () => yielded) as unknown as () => Promise<Socket>;
    const expected = { code: "OPTION_INVALID", details: { check: "fallback" } };
    await assert.rejects(client.connect({ ...options, fallback }), expected);
    await assert.rejects(client.openSession({ ...options, fallback }), expected);
  }
  // Node tells of them when the queues of promises and ticks are empty.
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(unhandled, []);
});

test("an environment that cannot be read is a coded error, for which the fallback is asked", async (t) => {
  const { options, direct } = await stage(t);
  const client = createClient({
    clock: systemClock,
    env: () => {
      throw new TypeError("no environment");
    },
    places: placeInputs,
    loadPlatform,
  });
  await assert.rejects(client.connect(options), { code: "INTERNAL" });
  const reached = await client.connect({ ...options, fallback: direct });
  assert.equal(reached.route === "fallback" && reached.fallbackReason.code, "INTERNAL");
});

test("what the fallback throws is passed on as it is, and wrong options of a session are refused first", async (t) => {
  const { options, env } = await stage(t);
  const { client, loads } = clientWith({ ...env, RUNNING_PROCESS_DISABLE: "1" });
  const own = new TypeError("mine");
  const fallback = (): Promise<Socket> => {
    throw own;
  };
  for (const call of [client.connect, client.openSession])
    await assert.rejects(call({ ...options, fallback }), (error) => error === own);
  for (const [check, wrong] of [
    ["onEvent", { onEvent: 7 }],
    ["firstRequest", { firstRequest: null }],
    ["firstRequest.payload", { firstRequest: { protocol: 0xf001, payload: "text" } }],
    ["firstRequest.signal", { firstRequest: { protocol: 0xf001, payload: new Uint8Array(), signal: {} } }],
  ] as const)
    await assert.rejects(client.openSession({ ...options, fallback, ...wrong } as unknown as ConnectOptions), {
      code: "OPTION_INVALID",
      details: { check },
    });
  assert.equal(loads(), 0);
});

test("the fallback is taken for any failure of the broker's path, with the failure as its reason", async (t) => {
  const { options, env, direct, brokerPath } = await stage(t);
  const { client } = clientWith(env);
  const unavailable = await client.connect({ ...options, fallback: direct });
  assert.ok(unavailable.route === "fallback" && unavailable.fallbackReason.code === "BROKER_UNAVAILABLE");
  const undefinedService = await client.connect({
    ...options,
    env: { ...env, RUNNING_PROCESS_BROKER_V1_SOCKET: undefined },
    fallback: direct,
  });
  assert.ok(undefinedService.route === "fallback" && undefinedService.fallbackReason.code === "DEFINITION_NOT_FOUND");
  await listen(t, brokerPath, (socket) => answerHello(socket, () => encodeRefused({ code: 8, reason: "blocked" })));
  const refused = await client.connect({ ...options, fallback: direct });
  assert.ok(refused.route === "fallback" && refused.fallbackReason.code === "VERSION_BLOCKED");
});

test("a broker that hangs uses up the time, and the fallback still gets its own", async (t) => {
  const { options, env, direct, brokerPath } = await stage(t);
  await listen(t, brokerPath, () => {});
  const connected = await clientWith(env).client.connect({ ...options, timeoutMs: 50, fallback: direct });
  assert.ok(connected.route === "fallback" && connected.fallbackReason.code === "DEADLINE_EXCEEDED");
});

test("an abort is not answered by the fallback, and ends a fallback that hangs", async (t) => {
  const { options, env, brokerPath, direct } = await stage(t);
  const { client } = clientWith(env);
  await assert.rejects(client.connect({ ...options, signal: AbortSignal.abort(), fallback: direct }), {
    code: "ABORTED",
    // And not the caller's own path, which was not begun.
    message: /while loading the client/,
  });
  const abort = new AbortController();
  const fallback = (): Promise<Socket> => {
    queueMicrotask(() => abort.abort());
    return new Promise(() => {});
  };
  await assert.rejects(client.connect({ ...options, signal: abort.signal, fallback }), {
    code: "ABORTED",
    message: /the caller's own path/,
  });
  assert.ok(brokerPath);
});

test("what the fallback throws is passed on as it is", async (t) => {
  const { options, env } = await stage(t);
  const own = new Error("no daemon either");
  const fallback = (): Promise<Socket> => Promise.reject(own);
  await assert.rejects(clientWith(env).client.connect({ ...options, fallback }), (error) => error === own);
});
