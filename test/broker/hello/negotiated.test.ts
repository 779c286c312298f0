/** What a Hello that is granted is told, and which backend it gets (spec: server §6.3, §6.4, §10, §19). */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import test from "node:test";
import { probeEndpoint } from "../../../src/exchange/probe-endpoint.ts";
import { createLaunching, launchingIn, logLines } from "../../support/launching.ts";
import { patient } from "../../support/patient.ts";
import {
  converse,
  helloBytes,
  helloReply,
  negotiatedIn,
  onlyFrame,
  openRaw,
  refusedIn,
  sayHello,
} from "../../support/peers/raw-peer.ts";
import { createWorld } from "../../support/world.ts";

test("a granted Hello is told the version it asked for, where it is served, and nothing it did not ask for", async (t) => {
  const launching = await createLaunching(t);
  const { world, broker } = launching;
  world.define({ serviceName: "svc" });
  const ids = {
    requestId: 2n ** 63n,
    traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    tracestate: "rp=1",
  };
  const reply = await converse(broker.endpoint, helloBytes({ serviceName: "svc", wantedVersion: "1.2.3-rc.1" }, ids));
  const { requestId, traceparent, tracestate, kind, payloadProtocol, payloadEncoding } = onlyFrame(reply);
  assert.deepEqual({ requestId, traceparent, tracestate }, ids);
  assert.deepEqual([kind, payloadProtocol, payloadEncoding], [1, 0, 0]);
  const { backendPipe, ...negotiated } = negotiatedIn(helloReply(reply));
  assert.deepEqual(negotiated, {
    negotiatedProtocol: 1,
    daemonVersion: "1.2.3-rc.1",
    warnings: [],
    serverCapabilities: 0n,
    keepaliveIntervalSecs: 1800n,
    handlePassedToken: new Uint8Array(),
    connectionId: 1n,
  });
  assert.match(backendPipe, new RegExp(`^${world.runtime}/rpb-v1-[0-9a-f]{16}-be-[0-9a-f]{32}\\.sock$`));
  const { identity, listener } = await probeEndpoint(world.platform, backendPipe, patient(world.platform));
  listener?.close();
  assert.deepEqual([identity.endpoint.path, identity.pid], [backendPipe, launching.pids("svc")[0]]);
});

test("a keepalive that the client proposes is granted as it is", async (t) => {
  const { world, broker } = await createLaunching(t);
  world.define({ serviceName: "svc", binary: "obeys.mjs" });
  for (const [proposed, granted] of [
    [0n, 1800n],
    [1n, 1n],
    [1801n, 1801n],
    [2n ** 64n - 1n, 2n ** 64n - 1n],
  ] as const) {
    const reply = negotiatedIn(await sayHello(broker.endpoint, { serviceName: "svc", clientKeepaliveSecs: proposed }));
    assert.equal(reply.keepaliveIntervalSecs, granted);
  }
});

test("capabilities that are not ours are not granted; a token goes only with those that are", async (t) => {
  const { world, broker } = await createLaunching(t);
  world.define({ serviceName: "able" });
  world.define({ serviceName: "off", labels: { "handoff.enabled": "false" } });
  const capabilities = async (serviceName: string, clientCapabilities: bigint): Promise<[bigint, number]> => {
    const reply = negotiatedIn(await firstReply(broker.endpoint, { serviceName, clientCapabilities }));
    return [reply.serverCapabilities, reply.handlePassedToken.length];
  };
  assert.deepEqual(await capabilities("able", 0n), [0n, 0]);
  assert.deepEqual(await capabilities("able", (2n ** 63n) | 2n), [0n, 0]);
  assert.deepEqual(await capabilities("able", 1n), [1n, 16]);
  assert.deepEqual(await capabilities("off", 1n), [0n, 0]);
  assert.deepEqual(await capabilities("off", 2n ** 64n - 1n), [0n, 0]);
});

test("connection ids are unique over a hundred Hellos at once, and all get one backend", async (t) => {
  const { world, broker } = await createLaunching(t);
  world.define({ serviceName: "svc", binary: "obeys.mjs" });
  const replies = await Promise.all(
    Array.from({ length: 100 }, async () => negotiatedIn(await sayHello(broker.endpoint, { serviceName: "svc" }))),
  );
  assert.equal(new Set(replies.map((reply) => reply.connectionId)).size, 100);
  assert.equal(new Set(replies.map((reply) => reply.backendPipe)).size, 1);
});

test("a definition that is edited between two Hellos holds for the second", async (t) => {
  const launching = await createLaunching(t);
  const { world } = launching;
  world.define({ serviceName: "svc", binary: "obeys.mjs", versionAllowList: ["2.0.0"] });
  assert.equal((await launching.refused("svc", "1.0.0")).code, 8);
  world.define({ serviceName: "svc", binary: "obeys.mjs", versionAllowList: ["1.0.0"] });
  await launching.negotiated("svc", "1.0.0");
  world.define({ serviceName: "svc", binary: "obeys.mjs", minVersion: "1.0.1" });
  // Also for a version that runs already.
  assert.equal((await launching.refused("svc", "1.0.0")).reason, "wanted_version is below min_version");
});

test("private, shared and explicit backends of one service and version are different ones", async (t) => {
  const launching = await createLaunching(t);
  const { world, broker } = launching;
  const pipes: string[] = [];
  for (const isolation of [
    { isolation: "private" },
    { isolation: "shared" },
    { isolation: "explicit", explicitInstance: "one" },
    { isolation: "explicit", explicitInstance: "two" },
    { isolation: "private" },
  ] as const) {
    world.define({ serviceName: "svc", binary: "obeys.mjs", ...isolation });
    pipes.push((await launching.negotiated("svc")).backendPipe);
  }
  assert.equal(pipes[4], pipes[0]);
  assert.equal(new Set(pipes).size, 4);
  const launches = logLines(broker).filter((line) => line.type === "backend-launching");
  assert.deepEqual(
    launches.map((line) => line.instanceId),
    ["private:svc", "shared", "explicit:one", "explicit:two"],
  );
});

test("a broker of one instance serves no service of another, and launches nothing for it", async (t) => {
  const world = await createWorld(t);
  world.define({ serviceName: "mine", binaryPath: "/nonexistent/mine" });
  world.define({ serviceName: "other", binary: "obeys.mjs" });
  world.define({ serviceName: "shared", binary: "obeys.mjs", isolation: "shared" });
  const broker = await world.startBroker(["--instance", "private:mine"]);
  for (const [serviceName, instance] of [
    ["other", "private:other"],
    ["shared", "shared"],
  ] as const) {
    const refused = refusedIn(await sayHello(broker.endpoint, { serviceName }));
    assert.equal(refused.code, 2);
    const theirs = `service "${serviceName}" belongs to broker instance "${instance}", this one is "private:mine"`;
    assert.equal(refused.reason, theirs);
  }
  // Its own it tries to launch.
  assert.equal(refusedIn(await sayHello(broker.endpoint, { serviceName: "mine" })).code, 3);
  assert.deepEqual(world.processes(), [broker.pid]);
  assert.equal((await broker.stop()).code, 0);
});

test("of 32 Hellos of one process in a second with --hello-rate 8 eight are granted; others are not counted with it", async (t) => {
  const launching: { shutDown(): Promise<void> }[] = [];
  t.after(() => launching[0]?.shutDown());
  const world = await createWorld(t);
  const broker = await world.startBroker(["--socket", join(world.runtime, "b.sock"), "--hello-rate", "8"]);
  launching.push(launchingIn(world, broker));
  world.define({ serviceName: "svc", binary: "obeys.mjs" });
  const bytes = helloBytes({ serviceName: "svc" });
  // Stopped until all of them wait, so that it meets them at one moment however slow we are.
  broker.process.kill("SIGSTOP");
  const ours = Array.from({ length: 32 }, () => converse(broker.endpoint, bytes));
  const script = `const socket = require("node:net").connect(process.argv[1]);
    socket.write(Buffer.from(process.argv[2], "hex"), () => console.log("sent"));
    socket.on("data", (reply) => console.log(reply.toString("hex")));`;
  const other = world.track(
    spawn(process.execPath, ["-e", script, broker.endpoint, bytes.toString("hex")], {
      env: world.env,
      stdio: ["ignore", "pipe", "inherit"],
    }),
  );
  const [sent] = await once(other.stdout as NodeJS.ReadableStream, "data");
  assert.equal(String(sent), "sent\n");
  broker.process.kill("SIGCONT");
  const [theirs] = await once(other.stdout as NodeJS.ReadableStream, "data");
  negotiatedIn(helloReply(Buffer.from(String(theirs).trim(), "hex")));

  const replies = (await Promise.all(ours)).map(helloReply);
  const refused = replies.filter((reply) => reply.result.case === "refused").map(refusedIn);
  assert.equal(replies.length - refused.length, 8);
  for (const { code, reason, retryAfterMs } of refused) {
    assert.deepEqual([code, reason], [4, "Hello rate limit exceeded"]);
    assert.ok(retryAfterMs > 0n && retryAfterMs <= 1000n, String(retryAfterMs));
  }
});

test("three launches that fail tell to come back in a second; the fourth Hello is not tried any more", async (t) => {
  const launching = await createLaunching(t);
  launching.world.define({ serviceName: "svc", binary: "exits-at-once.mjs" });
  for (let i = 0; i < 3; i++) {
    const { code, reason, retryAfterMs } = await launching.refused("svc");
    assert.deepEqual([code, retryAfterMs], [3, 1000n]);
    assert.match(reason, /^backend spawn failed: /);
  }
  const fourth = await launching.refused("svc");
  assert.deepEqual([fourth.code, fourth.reason], [4, "backend spawn budget exhausted"]);
  assert.ok(fourth.retryAfterMs > 0n && fourth.retryAfterMs <= 30_000n, String(fourth.retryAfterMs));
  assert.equal(logLines(launching.broker).filter((line) => line.type === "backend-launching").length, 3);
});

/** For connections that stay open after the reply because they are handed over. */
async function firstReply(path: string, hello: Parameters<typeof helloBytes>[0]) {
  const socket = await openRaw(path);
  socket.write(helloBytes(hello));
  const [bytes] = (await once(socket, "data")) as [Buffer];
  socket.destroy();
  return helloReply(bytes.subarray(0, 5 + bytes.readUInt32LE(1)));
}
