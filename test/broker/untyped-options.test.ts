/**
 * Every option of every public call, given a value of each other type: the call answers with a code and the option's name.
 * Guards against bare TypeErrors, and against values that JavaScript converts in silence.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { inspect } from "node:util";
import { bootstrap, createEndpointMux, encodeIdentitySidecar, serve } from "../../src/backend/index.ts";
import { instanceId, loadPlatform, startBroker } from "../../src/broker/index.ts";
import { connect, openSession } from "../../src/client/index.ts";
import { defineService, isBrokerError, openServices } from "../../src/index.ts";
import { bytes, PROTOCOL, setUp } from "../support/peers/frame-client.ts";

const VALUES = {
  number: 5,
  text: "5000",
  bigint: 5n,
  boolean: true,
  null: null,
  symbol: Symbol("s"),
  array: [{}],
  object: { nothing: Symbol("s") },
  function: () => 5,
  bare: Object.create(null) as object,
} as const;

type Kind = "text" | "number" | "boolean" | "function" | "object" | "texts" | "numbers" | "map" | "bytes" | "signal";

/** Which values an option of this kind may take; what they hold is not judged here. */
const TAKEN: Readonly<Record<Kind, readonly (keyof typeof VALUES)[]>> = {
  text: ["text"],
  number: ["number"],
  boolean: ["boolean"],
  function: ["function"],
  object: ["object", "bare", "array"],
  texts: [],
  numbers: [],
  map: ["bare"],
  bytes: [],
  signal: [],
};

type Call = (options: unknown) => unknown;
type Options = Readonly<Record<string, Kind>>;

/** `good` with `value` at `path`. */
function withOption(good: object, path: readonly string[], value: unknown): object {
  const [name, ...rest] = path as [string, ...string[]];
  const inner = (good as Record<string, unknown>)[name];
  return { ...good, [name]: rest.length === 0 ? value : withOption((inner ?? {}) as object, rest, value) };
}

async function sweep(call: Call, good: object, options: Options): Promise<void> {
  for (const [name, kind] of Object.entries(options))
    for (const [type, value] of Object.entries(VALUES)) {
      if (TAKEN[kind].includes(type as keyof typeof VALUES)) continue;
      const what = `${name}: ${inspect(value)}`;
      try {
        await call(withOption(good, name.split("."), value));
      } catch (error) {
        assert.ok(isBrokerError(error), `${what}: ${inspect(error)}`);
        if (error.code === "PAYLOAD_PROTOCOL_INVALID") continue;
        assert.equal(error.code, "OPTION_INVALID", `${what}: ${error.message}`);
        // What is inside may be what is wrong with it.
        assert.ok(error.details.check?.startsWith(name), `${what}: ${error.message}`);
        continue;
      }
      assert.fail(`${what} was taken`);
    }
}

const IDENTITY = {
  pid: 1,
  exePath: "/bin/true",
  bootId: "b",
  startedAtUnixMs: 1,
  endpoint: { namespaceId: "direct", path: "/run/x.sock" },
};
const identityOptions = (prefix: string): Options => ({
  [`${prefix}pid`]: "number",
  [`${prefix}exePath`]: "text",
  [`${prefix}bootId`]: "text",
  [`${prefix}startedAtUnixMs`]: "number",
  [`${prefix}idleTimeoutSecs`]: "number",
  [`${prefix}sha256`]: "bytes",
  [`${prefix}blake3`]: "bytes",
  [`${prefix}endpoint.namespaceId`]: "text",
  [`${prefix}endpoint.path`]: "text",
});

const WANTED = { service: "demo", version: "1.0.0" };
const CONNECT: Options = {
  service: "text",
  version: "text",
  broker: "object",
  "broker.endpoint": "text",
  "broker.autoStart": "boolean",
  "broker.startCommand.file": "text",
  "broker.startCommand.args": "texts",
  selfVersion: "text",
  cachedEndpoint: "text",
  clientVersion: "text",
  libName: "text",
  libVersion: "text",
  keepaliveSecs: "number",
  traceparent: "text",
  tracestate: "text",
  timeoutMs: "number",
  adopt: "boolean",
  signal: "signal",
  env: "map",
  definitionDirectory: "text",
  fallback: "function",
};
const REQUEST: Options = {
  signal: "signal",
  timeoutMs: "number",
  idempotent: "boolean",
  traceparent: "text",
  tracestate: "text",
};

test("connect and openSession", async () => {
  const good = { ...WANTED, broker: { startCommand: { file: "/bin/false", args: [] } }, verifyCached: IDENTITY };
  for (const call of [connect, openSession] as Call[])
    await sweep(call, good, { ...CONNECT, ...identityOptions("verifyCached.") });
});

test("openSession: its events and its first request", async () => {
  const good = { ...WANTED, firstRequest: { protocol: PROTOCOL, payload: bytes("x"), idempotent: true } };
  const first = Object.fromEntries(Object.entries(REQUEST).map(([name, kind]) => [`firstRequest.${name}`, kind]));
  await sweep(openSession as Call, good, {
    onEvent: "function",
    "firstRequest.protocol": "numbers",
    "firstRequest.payload": "bytes",
    ...first,
  });
});

test("request of a session leaves nothing in flight", async (t) => {
  const { client } = await setUp(t);
  await sweep((options) => client.request(PROTOCOL, bytes("x"), options as object), {}, REQUEST);
  for (const wrong of Object.values(VALUES)) {
    await sweep(() => client.request(wrong as number, bytes("x")), {}, { protocol: "numbers" });
    await sweep(() => client.request(PROTOCOL, wrong as Uint8Array), {}, { payload: "bytes" });
  }
  assert.equal(client.inFlight, 0);
});

test("serve, and bootstrap", async () => {
  await sweep(serve as Call, { protocol: PROTOCOL, handle: () => bytes("x") }, {
    protocol: "numbers",
    handle: "function",
    protocols: "map",
    legacy: "numbers",
    "legacy.onSocket": "function",
    endpoint: "text",
    service: "text",
    version: "text",
    handoffEndpoint: "text",
    sidecarPath: "text",
    load: "function",
    onStop: "function",
    onError: "function",
    onQuiesce: "function",
    onReleaseHandles: "function",
    stopTimeoutMs: "number",
    maxInFlightPerConnection: "number",
    countConnections: "boolean",
    handleSignals: "boolean",
  } as Options);
  const nothing = (): void => {};
  const backend = { bind: nothing, adopt: nothing, discard: nothing, load: nothing, serve: nothing };
  await sweep(
    (options) => bootstrap(backend, options as object),
    {},
    {
      endpoint: "text",
      service: "text",
      version: "text",
    },
  );
});

test("the mux, and a record of identity", async () => {
  const good = { identity: IDENTITY, protocols: [PROTOCOL] };
  await sweep(createEndpointMux as Call, good, { protocols: "numbers", legacy: "function" });
  await sweep(createEndpointMux as Call, good, identityOptions("identity."));
  for (const wrong of Object.values(VALUES))
    await sweep(() => createEndpointMux(good).poll(wrong as unknown as Buffer), {}, { buffer: "bytes" });
  // The name of the argument is not part of its fields' names in the table.
  for (const name of Object.keys(identityOptions("")))
    assert.throws(() => encodeIdentitySidecar(withOption(IDENTITY, name.split("."), Symbol("s")) as typeof IDENTITY), {
      code: "OPTION_INVALID",
      details: { check: `identity.${name}` },
    });
});

test("services", async () => {
  await sweep(openServices as Call, { directory: "/" }, { directory: "text", env: "map" });
  await sweep(
    defineService as Call,
    { name: "svc", binary: "/bin/true" },
    {
      name: "text",
      binary: "text",
      root: "text",
      isolation: "text",
      instance: "text",
      minVersion: "text",
      versions: "texts",
      exec: "object",
      "exec.args": "texts",
      "exec.env": "map",
      "exec.cwd": "text",
      "exec.bind": "text",
      "exec.ready": "text",
      "exec.nonBlocking": "boolean",
      "exec.readyTimeout": "text",
      "exec.stopTimeout": "text",
      log: "object",
      "log.maxBytes": "number",
      labels: "map",
    },
  );
});

test("startBroker and instanceId", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "u"));
  t.after(() => rmSync(directory, { recursive: true }));
  const good = {
    platform: await loadPlatform(),
    env: {},
    endpoint: join(directory, "b.sock"),
    definitionDirectory: directory,
    definitionDirectorySource: "test",
    logDirectory: directory,
    instance: { kind: "private", service: "demo" },
  };
  await sweep(startBroker as Call, good, {
    env: "map",
    endpoint: "text",
    definitionDirectory: "text",
    definitionDirectorySource: "text",
    logDirectory: "text",
    home: "text",
    instance: "numbers",
    "instance.kind": "numbers",
    "instance.service": "text",
    maxConnections: "number",
    idleExitMs: "number",
    hellosPerSecond: "number",
    predecessorFd: "number",
    launch: "numbers",
    successor: "function",
    onEvent: "function",
  } as Options);
  const registered = { service: "demo", version: "1.0.0", endpoint: "/run/x.sock", expected: IDENTITY };
  await sweep(
    startBroker as Call,
    { ...good, registered },
    {
      "registered.service": "text",
      "registered.version": "text",
      "registered.endpoint": "text",
      "registered.handoffEndpoint": "text",
      ...identityOptions("registered.expected."),
    },
  );
  const broker = await startBroker(good as Parameters<typeof startBroker>[0]);
  const stop: Options = { reason: "numbers", withBackends: "boolean", drainMs: "number" };
  await sweep((options) => broker.stop(options as never), { reason: "requested" }, stop);
  await sweep((options) => broker.restart(options as never), {}, { timeoutMs: "number" });
  // Nothing of it has begun to end the broker.
  await broker.stop({ reason: "requested" });
  assert.equal(await broker.closed, "requested");
  for (const wrong of Object.values(VALUES))
    assert.throws(() => instanceId(wrong as never), { code: "OPTION_INVALID" });
});
