/** One broker, every bad peer we could think of, one after the other: nobody else notices, and nothing is left of them. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync } from "node:fs";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { Deadline } from "../../../src/base/clock.ts";
import { encodeFrameBytes } from "../../../src/wire/framing.ts";
import { MAX_FRAME_BODY_BYTES } from "../../../src/wire/limits.ts";
import { AdminVerb } from "../../../src/wire/messages.ts";
import { createLaunching, type Launching } from "../../support/launching.ts";
import { adminReply, converse, helloBytes, negotiatedIn, openRaw, sayHello } from "../../support/peers/raw-peer.ts";
import { adminBytes, header, onlyWeAreConnected, pour, refusalIn, rest, statusOf } from "../../support/probing.ts";
import { descriptorsOf, openFiles } from "../../support/process-facts.ts";

const SERVICE = "svc";
const TOO_LARGE = "initial Hello frame exceeds 64 KiB";

test("no peer can delay, end or wear down the broker", async (t) => {
  const launching = await createLaunching(t, { RUNNING_PROCESS_BROKER_HELLO_TIMEOUT_MS: "1000" });
  const { world, broker } = launching;
  world.define({ serviceName: SERVICE, binary: "obeys.mjs" });
  const serves = async (): Promise<void> => {
    assert.equal(negotiatedIn(await sayHello(broker.endpoint, { serviceName: SERVICE })).daemonVersion, "1.0.0");
  };
  await serves();
  await onlyWeAreConnected(broker.endpoint);
  // In the background the broker reads the file of a new backend once more.
  while (openFiles(broker.pid).includes(join(world.root, "bin/obeys.mjs"))) await onlyWeAreConnected(broker.endpoint);
  const descriptors = descriptorsOf(broker.pid);

  for (const [name, attack] of Object.entries(ATTACKS)) {
    await t.test(name, async (attackTest) => {
      await attack(launching, attackTest);
      await serves();
      await onlyWeAreConnected(broker.endpoint);
      assert.equal(descriptorsOf(broker.pid), descriptors, "descriptors of the broker");
    });
  }
});

const ATTACKS: Record<string, (launching: Launching, t: TestContext) => Promise<void>> = {
  "a silent peer delays nobody and is refused at its deadline": async ({ broker }) => {
    const silent = await openRaw(broker.endpoint);
    let answered = false;
    const answer = rest(silent).finally(() => {
      answered = true;
    });
    for (let i = 0; i < 20; i++) await sayHello(broker.endpoint, { serviceName: SERVICE });
    assert.equal(answered, false, "the others were served while it was silent");
    assert.equal(refusalIn(await answer).reason, "incomplete Hello frame");
  },

  "a peer that sends one byte at a time is served": async ({ broker }) => {
    const socket = await openRaw(broker.endpoint);
    const answer = rest(socket);
    for (const byte of helloBytes({ serviceName: "none" }))
      await new Promise((resolve) => socket.write(Buffer.from([byte]), resolve));
    assert.equal(refusalIn(await answer).reason, "service definition was not found");
  },

  "half a frame and then the end is an incomplete Hello, said to those who still listen": async ({ broker }) => {
    const hello = helloBytes({ serviceName: SERVICE });
    for (const length of [0, 1, 4, 5, hello.length - 1]) {
      const answer = await converse(broker.endpoint, hello.subarray(0, length), { end: true });
      assert.equal(refusalIn(answer).reason, "incomplete Hello frame", `${length} bytes`);
      const gone = await openRaw(broker.endpoint);
      gone.write(hello.subarray(0, length), () => gone.destroy());
      await once(gone, "close");
    }
  },

  "a thousand peers that connect and close": async ({ world, broker }) => {
    const { clock, transport } = world.platform;
    for (let i = 0; i < 1000; i++) (await transport.connect(broker.endpoint, Deadline.after(clock, 60_000))).close();
  },

  "16 MiB of garbage are refused at their first byte": async ({ world, broker }) => {
    const answer = await pour(world, broker.endpoint, Buffer.alloc(MAX_FRAME_BODY_BYTES, 0xff));
    assert.equal(refusalIn(answer).reason, "unsupported framing version");
  },

  "16 MiB of garbage behind a good header are no frame": async ({ world, broker }) => {
    const answer = await pour(world, broker.endpoint, encodeFrameBytes(Buffer.alloc(MAX_FRAME_BODY_BYTES, 0xff)));
    assert.equal(refusalIn(answer).reason, "malformed broker Frame");
  },

  "a header that claims 16 MiB and one byte is refused before there is a body": async ({ broker }) => {
    assert.equal(refusalIn(await converse(broker.endpoint, header(MAX_FRAME_BODY_BYTES + 1))).reason, TOO_LARGE);
  },

  "large frames beyond the quota are refused, and taken again once there is room": async ({ world, broker }) => {
    const { clock, transport } = world.platform;
    const deadline = Deadline.after(clock, 60_000);
    const large = adminBytes(AdminVerb.STATUS, { extraBytes: 100_000 });
    const holders = await Promise.all(
      Array.from({ length: 4 }, async () => {
        const connection = await transport.connect(broker.endpoint, deadline);
        // More than the kernel holds for a reader, so that the broker has begun with the body once this is sent.
        await connection.writeAll(header(MAX_FRAME_BODY_BYTES), deadline);
        await connection.writeAll(Buffer.alloc(2 * 1024 * 1024), deadline);
        return connection;
      }),
    );
    assert.equal(refusalIn(await pour(world, broker.endpoint, large)).reason, TOO_LARGE);
    assert.equal((await statusOf(broker.endpoint)).accepting_hello, true);
    for (const connection of holders) connection.close();
    await onlyWeAreConnected(broker.endpoint);
    assert.equal(adminReply(await pour(world, broker.endpoint, large)).exitCode, 0);
  },

  "96 malformed clients at once are each refused": async ({ broker }) => {
    const frame = encodeFrameBytes;
    const ways: readonly [string, Buffer][] = [
      ["unsupported framing version", Buffer.from([0])],
      [TOO_LARGE, header(0xffffffff)],
      ["incomplete Hello frame", header(64)],
      ["malformed broker Frame", frame(Buffer.from([0xff, 0xff]))],
      ["frame envelope_version is not v1", frame(Buffer.alloc(0))],
      [TOO_LARGE, helloBytes({ serviceName: "x".repeat(70_000) })],
    ];
    const answers = Array.from({ length: 96 }, async (_, i) => {
      const [reason, bytes] = ways[i % ways.length] as [string, Buffer];
      assert.equal(refusalIn(await converse(broker.endpoint, bytes, { end: true })).reason, reason);
    });
    await Promise.all(answers);
  },

  "a peer of another user gets no byte, and the log says who it was": async ({ world, broker }, t) => {
    if (process.getuid?.() !== 0) return t.skip("needs root to become another user");
    // Everything that keeps others away but the check itself. Only now: at its start the broker would have refused.
    const opened = [world.root, dirname(world.runtime), world.runtime];
    for (const directory of opened) chmodSync(directory, 0o711);
    chmodSync(broker.endpoint, 0o666);
    const script = `
      let got = 0;
      const socket = require("node:net").connect(process.argv[1], () => socket.write(Buffer.from(process.argv[2], "hex")));
      socket.on("data", (chunk) => (got += chunk.length)).on("error", (error) => console.log(error.code));
      socket.on("close", () => console.log("closed after " + got + " bytes"));`;
    const args = ["-e", script, broker.endpoint, helloBytes({ serviceName: SERVICE }).toString("hex")];
    const stranger = world.track(
      spawn(process.execPath, args, { env: world.env, cwd: "/", uid: 65534, gid: 65534, stdio: ["ignore", "pipe", 2] }),
    );
    let said = "";
    stranger.stdout?.setEncoding("utf8").on("data", (text: string) => (said += text));
    await once(stranger, "close");
    // Whether the close comes before or after its own write is a matter of timing.
    assert.match(said, /^((EPIPE|ECONNRESET)\n)?closed after 0 bytes\n$/);
    assert.match(await broker.logged(/"peer-rejected"/), /"pid":\d+,"identity":"65534"/);
    for (const directory of opened) chmodSync(directory, 0o700);
    chmodSync(broker.endpoint, 0o600);
  },
};
