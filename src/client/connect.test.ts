import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { connect as netConnect, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { sealedEnv } from "../../test/client/support/connect-real.ts";
import {
  answerHello,
  encodeNegotiated,
  encodeRefused,
  listen,
  onFirstFrame,
  temporaryDirectory,
} from "../../test/client/support/scripted-server.ts";
import { BrokerError } from "../base/errors.ts";
import { systemClock } from "../platform/node/clock.ts";
import { loadPlatform, placeInputs } from "../platform/platform.ts";
import { encodeResponse } from "../wire/envelope.ts";
import { type Client, createClient } from "./connect.ts";
import type { ConnectOptions } from "./options.ts";

/** A client whose default environment is `env` and that counts how often it loads the platform. */
function clientWith(env: Record<string, string | undefined>): { client: Client; loads(): number } {
  let loads = 0;
  const client = createClient({
    clock: systemClock,
    env: () => env,
    places: placeInputs,
    loadPlatform: () => {
      loads += 1;
      return loadPlatform();
    },
  });
  return { client, loads: () => loads };
}

interface Stage {
  readonly options: ConnectOptions;
  readonly env: Record<string, string | undefined>;
  /** Connects to a server of the test's own. */
  direct(): Promise<Socket>;
  readonly brokerPath: string;
}

/** Auto-start is off and no broker listens at `brokerPath`. */
async function stage(t: TestContext): Promise<Stage> {
  const directory = temporaryDirectory(t);
  const brokerPath = `${directory}/br`;
  const server = await listen(t, `${directory}/direct`, (socket) => {
    onFirstFrame(socket, (frame) =>
      socket.write(encodeResponse(frame, { payloadProtocol: frame.payloadProtocol, payload: frame.payload })),
    );
  });
  const env = {
    ...sealedEnv(directory),
    RUNNING_PROCESS_BROKER_V1_SOCKET: brokerPath,
    RUNNING_PROCESS_BROKER_AUTOSTART: "0",
  };
  const direct = async (): Promise<Socket> => {
    const socket = netConnect(server.path);
    t.after(() => socket.destroy());
    await once(socket, "connect");
    return socket;
  };
  return { options: { service: "demo", version: "1.2.3" }, env, direct, brokerPath };
}

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
