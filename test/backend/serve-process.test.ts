/** The SDK in processes of their own: what only a real process shows (signals, inherited descriptors, exit status). */
import assert from "node:assert/strict";
import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { probeEndpoint } from "../../src/exchange/probe-endpoint.ts";
import { discoverBackend, verifyBackend } from "../../src/exchange/verify-backend.ts";
import { loadPlatform } from "../../src/platform/platform.ts";
import { patient } from "../support/patient.ts";
import { connectRaw, request, textOf } from "../support/peers/raw-client.ts";
import { createPlace, scriptPath, startDaemon } from "./support/daemon.ts";

const platform = await loadPlatform();

const ECHO = `
await serve({ protocol: 0xf001, handle: ({ payload }) => payload });
console.log("up");
`;

/** Answers everything at once but "slow", which it never does. */
const STUCK = `
await serve({
  protocol: 0xf001,
  stopTimeoutMs: 600_000,
  handle: async ({ payload }) => {
    const text = String(Buffer.from(payload));
    console.log(text);
    if (text === "slow") await new Promise(() => {});
    return Buffer.from("done " + text);
  },
});
console.log("up");
`;

test("a daemon of a few lines binds, holds its lock, is proved by the kernel, serves, and ends with status 0 on SIGTERM", async (t) => {
  const place = createPlace(t);
  const daemon = startDaemon(t, { place, source: ECHO });
  assert.equal(await daemon.line(), "up");
  assert.deepEqual(JSON.parse(readFileSync(`${place.socket}.lock`, "utf8")), {
    pid: daemon.pid,
    service: "fmt",
    version: "1.2.3",
  });
  const identity = await discoverBackend(platform, place.socket, patient(platform));
  assert.equal(identity.pid, daemon.pid);
  assert.deepEqual(identity.endpoint, { namespaceId: "shared", path: place.socket });
  const client = await connectRaw(place.socket);
  client.socket.write(request("hi"));
  assert.equal(textOf(await client.frame()), "hi");
  daemon.process.kill("SIGTERM");
  await client.over;
  assert.deepEqual(await daemon.ended, { code: 0, signal: null, stderr: "" });
  assert.equal(existsSync(place.socket), false);
  assert.equal(existsSync(`${place.socket}.lock`), false);
});

test("after SIGTERM new clients are refused and idle ones dismissed; a second SIGTERM cuts off what still runs", {
  timeout: 60_000,
}, async (t) => {
  const place = createPlace(t);
  const daemon = startDaemon(t, { place, source: STUCK });
  await daemon.line();
  const [slow, other] = [await connectRaw(place.socket), await connectRaw(place.socket)];
  slow.socket.write(request("slow"));
  assert.equal(await daemon.line(), "slow");
  other.socket.write(request("now"));
  await other.frame();
  daemon.process.kill("SIGTERM");
  await other.over;
  await assert.rejects(connectRaw(place.socket), "new clients are refused meanwhile");
  assert.equal(daemon.process.exitCode, null);
  daemon.process.kill("SIGTERM");
  await slow.over;
  await assert.rejects(slow.frame(), "the second signal cuts it off");
  assert.equal((await daemon.ended).code, 0);
});

test("a request in flight at SIGTERM is answered", async (t) => {
  const place = createPlace(t);
  const source = `
    let stopped;
    const stopping = new Promise((resolve) => (stopped = resolve));
    process.once("SIGTERM", () => stopped());
    await serve({ protocol: 0xf001, handle: async () => { console.log("in"); await stopping; return Buffer.from("answered"); } });
    console.log("up");`;
  const daemon = startDaemon(t, { place, source });
  await daemon.line();
  const client = await connectRaw(place.socket);
  client.socket.write(request("x"));
  assert.equal(await daemon.line(), "in");
  daemon.process.kill("SIGTERM");
  assert.equal(textOf(await client.frame()), "answered");
  await client.over;
  assert.equal((await daemon.ended).code, 0);
});

test("a daemon that keeps itself alive with a timer is ended by its signal all the same", async (t) => {
  const place = createPlace(t);
  const daemon = startDaemon(t, { place, source: `setInterval(() => {}, 1000);\n${ECHO}` });
  await daemon.line();
  daemon.process.kill("SIGTERM");
  assert.equal((await daemon.ended).signal, "SIGTERM");
});

test("a daemon whose onStop gives its timer back ends with status 0", async (t) => {
  const place = createPlace(t);
  const source = `
    const timer = setInterval(() => {}, 1000);
    await serve({ protocol: 0xf001, handle: ({ payload }) => payload, onStop: () => clearInterval(timer) });
    console.log("up");`;
  const daemon = startDaemon(t, { place, source });
  await daemon.line();
  daemon.process.kill("SIGINT");
  assert.deepEqual(await daemon.ended, { code: 0, signal: null, stderr: "" });
});

for (const how of ["the broker's variable", "systemd's protocol"] as const) {
  test(`a listener passed by ${how} is adopted: clients that came before the daemon are served, its socket file stays`, async (t) => {
    const place = createPlace(t);
    const fd = platform.transport.listen(place.socket).takeFd();
    const early = await connectRaw(place.socket);
    early.socket.write(request("LISTEN"));
    const source = `
      const { env } = process;
      await serve({ protocol: 0xf001, handle: () => Buffer.from(Object.keys(env).filter((name) => /LISTEN/.test(name)).join() + "|" + env.RUNNING_PROCESS_BROKER_V1_SERVICE_NAME) });
      console.log("up");`;
    const systemd = how === "systemd's protocol";
    const env: Record<string, string> = systemd ? { LISTEN_FDS: "1" } : { RUNNING_PROCESS_BROKER_LISTENER_FD: "3" };
    const daemon = startDaemon(t, { place, source, fd, env, listenPid: systemd });
    closeSync(fd);
    assert.equal(textOf(await early.frame()), "|fmt", "the daemon's own children do not see the descriptor variables");
    assert.equal((await probeEndpoint(platform, place.socket, patient(platform))).identity.pid, daemon.pid);
    early.socket.destroy();
    daemon.process.kill("SIGTERM");
    assert.equal((await daemon.ended).code, 0);
    assert.ok(existsSync(place.socket));
    assert.equal(existsSync(`${place.socket}.lock`), false);
  });
}

test("a descriptor that is no listener ends the launch with LISTENER_INVALID, and nothing is bound", async (t) => {
  const place = createPlace(t);
  const fd = openSync("/dev/null", "r");
  const daemon = startDaemon(t, { place, source: ECHO, fd, env: { RUNNING_PROCESS_BROKER_LISTENER_FD: "3" } });
  closeSync(fd);
  const { code, stderr } = await daemon.ended;
  assert.equal(code, 1);
  assert.match(stderr, /LISTENER_INVALID/);
  assert.equal(existsSync(place.socket), false);
});

test("without a broker and without an endpoint the launch ends with a reason", async (t) => {
  const place = createPlace(t);
  const daemon = startDaemon(t, { place, source: ECHO, env: { RUNNING_PROCESS_BROKER_V1_BACKEND_PIPE: "" } });
  const { code, stderr } = await daemon.ended;
  assert.equal(code, 1);
  assert.match(stderr, /LAUNCHED_WITHOUT_ENDPOINT/);
});

test("a load that fails ends the process with status 1 and its error on stderr", async (t) => {
  const place = createPlace(t);
  const source = `await serve({ protocol: 0xf001, handle: () => Buffer.alloc(0), load: async () => { throw new Error("cannot load"); } });`;
  const daemon = startDaemon(t, { place, source });
  const { code, stderr } = await daemon.ended;
  assert.equal(code, 1);
  assert.match(stderr, /cannot load/);
  assert.equal(existsSync(place.socket), false);
});

test("probes are answered while load blocks on something that never comes", async (t) => {
  const place = createPlace(t);
  const source = `await serve({ protocol: 0xf001, handle: () => Buffer.alloc(0), load: () => new Promise(() => {}) });\nconsole.log("up");`;
  const daemon = startDaemon(t, { place, source });
  await daemon.line();
  assert.equal((await discoverBackend(platform, place.socket, patient(platform))).pid, daemon.pid);
  daemon.process.kill("SIGTERM");
  assert.equal((await daemon.ended).code, 0);
});

test("a daemon executed as a script proves to be the script", async (t) => {
  const place = createPlace(t);
  const daemon = startDaemon(t, { place, source: ECHO, asScript: true });
  await daemon.line();
  const exePath = scriptPath(place);
  const expected = {
    pid: daemon.pid,
    exePath,
    sha256: await platform.files.sha256Executable(exePath),
    endpoint: { namespaceId: "shared", path: place.socket },
    startedAtUnixMs: 0,
    bootId: platform.host.bootId(),
  };
  assert.equal((await verifyBackend(platform, { expected, ...patient(platform) })).exePath, exePath);
});

test("a handler's error goes to stderr; with nobody reading there the daemon lives on", async (t) => {
  const place = createPlace(t);
  const source = `
    await serve({ protocol: 0xf001, handle: ({ payload }) => { if (payload.length === 0) throw new Error("a bug"); return payload; } });
    console.log("up");`;
  const daemon = startDaemon(t, { place, source });
  await daemon.line();
  const written = new Promise<string>((resolve) =>
    daemon.process.stderr?.once("data", (chunk) => resolve(String(chunk))),
  );
  const first = await connectRaw(place.socket);
  first.socket.write(request(""));
  await first.over;
  assert.match(await written, /a bug/);
  daemon.process.stderr?.destroy();
  daemon.process.stdout?.destroy();
  for (let round = 0; round < 3; round++) {
    const bad = await connectRaw(place.socket);
    bad.socket.write(request(""));
    await bad.over;
  }
  const good = await connectRaw(place.socket);
  good.socket.write(request("alive"));
  assert.equal(textOf(await good.frame()), "alive");
  good.socket.destroy();
});

test("after kill -9 the next daemon takes the endpoint over; beside a live one it ends with ENDPOINT_IN_USE", async (t) => {
  const place = createPlace(t);
  const first = startDaemon(t, { place, source: ECHO });
  await first.line();
  first.process.kill("SIGKILL");
  await first.ended;
  assert.ok(existsSync(place.socket), "what a crash leaves");
  const second = startDaemon(t, { place, source: ECHO });
  await second.line();
  const third = startDaemon(t, { place, source: ECHO });
  const { code, stderr } = await third.ended;
  assert.equal(code, 1);
  assert.match(stderr, new RegExp(`ENDPOINT_IN_USE.*"pid":${second.pid}`));
  assert.equal((await probeEndpoint(platform, place.socket, patient(platform))).identity.pid, second.pid);
});

test("a server of one's own runs by the contract: adopted, loaded, served", async (t) => {
  const place = createPlace(t);
  const fd = platform.transport.listen(place.socket).takeFd();
  const source = `
    import { createServer } from "node:net";
    await bootstrap({
      bind: () => { throw new Error("bound a second time"); },
      adopt: (listener) => listener,
      discard: (listener) => listener.close(),
      load: async () => "loaded",
      async serve(listener, state) {
        const server = createServer((socket) => socket.end("own wire, " + loaded));
        const loaded = await state;
        server.listen({ fd: listener.takeFd() });
        await new Promise((resolve) => server.once("connection", () => server.close(resolve)));
      },
    });`;
  const daemon = startDaemon(t, { place, source, fd, env: { RUNNING_PROCESS_BROKER_LISTENER_FD: "3" } });
  closeSync(fd);
  const client = await connectRaw(place.socket).then(({ socket }) => socket);
  client.removeAllListeners("data");
  const answer = await new Promise<string>((resolve) =>
    client.once("data", (chunk: Buffer) => resolve(chunk.toString())),
  );
  assert.equal(answer, "own wire, loaded");
  client.destroy();
  assert.equal((await daemon.ended).code, 0);
});
