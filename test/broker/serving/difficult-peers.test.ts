/** Peers that vanish, say nothing or are somebody else harm nobody but themselves (spec: server §5). */
import assert from "node:assert/strict";
import { chmodSync } from "node:fs";
import { basename } from "node:path";
import test from "node:test";
import { encodeMessage } from "../../../src/wire/codec.ts";
import { encodeRequest } from "../../../src/wire/envelope.ts";
import { AdminRequestSchema, AdminVerb } from "../../../src/wire/messages.ts";
import { createLaunching } from "../../support/launching.ts";
import { converse, helloBytes, helloReply, openRaw, refusedIn, sayHello } from "../../support/peers/raw-peer.ts";

const hello = helloBytes({ serviceName: "nowhere" });
const healthz = encodeRequest({
  payloadProtocol: 0xad01,
  payload: encodeMessage(AdminRequestSchema, { verb: AdminVerb.HEALTHZ }),
  requestId: 1n,
});

test("peers that vanish, at whatever point, end nothing but their own connection", async (t) => {
  const { broker } = await createLaunching(t);
  for (const bytes of [Buffer.alloc(0), Buffer.from([2]), hello.subarray(0, 9), hello, healthz]) {
    for (let i = 0; i < 10; i++) {
      const socket = await openRaw(broker.endpoint);
      if (bytes.length > 0) await new Promise((resolve) => socket.write(bytes, resolve));
      socket.destroy();
    }
  }
  assert.equal(
    refusedIn(await sayHello(broker.endpoint, { serviceName: "nowhere" })).reason,
    "service definition was not found",
  );
});

test("silent peers hold up nobody, and hear that their Hello is incomplete when its time is up", async (t) => {
  const { world, broker: patient } = await createLaunching(t);
  const silent = await Promise.all(Array.from({ length: 50 }, () => openRaw(patient.endpoint)));
  for (const socket of silent) socket.write(Buffer.from([1]));
  assert.equal(
    refusedIn(await sayHello(patient.endpoint, { serviceName: "nowhere" })).reason,
    "service definition was not found",
  );
  for (const socket of silent) socket.destroy();

  const strict = await world.startBroker(["--instance", "explicit:x"], {
    env: { RUNNING_PROCESS_BROKER_HELLO_TIMEOUT_MS: "50" },
  });
  for (const bytes of [Buffer.alloc(0), Buffer.from([1]), hello.subarray(0, -1)])
    assert.equal(refusedIn(helloReply(await converse(strict.endpoint, bytes))).reason, "incomplete Hello frame");
  assert.equal((await strict.stop()).code, 0);
});

test("a peer of another user is closed before a byte is read or written, and the broker goes on", {
  skip: process.getuid?.() !== 0 && "needs root to become another user",
}, async (t) => {
  const { world, broker } = await createLaunching(t);
  // All that keeps others away but the check itself; from inside the directory no other one is in their way.
  chmodSync(world.runtime, 0o711);
  chmodSync(broker.endpoint, 0o666);
  const script = `let got = 0;
    const socket = require("node:net").connect(process.argv[1], () => socket.write(Buffer.from(process.argv[2], "hex")));
    socket.on("error", (error) => error.code !== "EPIPE" && error.code !== "ECONNRESET" && console.log(error.code));
    socket.on("data", (bytes) => (got += bytes.length)).on("close", () => console.log("closed after " + got + " bytes"));`;
  const foreign = `cd "$0" && exec setpriv --reuid 65534 --clear-groups "$@"`;
  const node = [process.execPath, "-e", script, basename(broker.endpoint), hello.toString("hex")];
  const outcome = await world.run("/bin/sh", ["-c", foreign, world.runtime, ...node]);
  assert.deepEqual([outcome.stderr, outcome.stdout], ["", "closed after 0 bytes\n"]);
  assert.match(await broker.logged(/peer-rejected/), /"identity":"65534"/);
  chmodSync(world.runtime, 0o700);
  assert.equal(
    refusedIn(await sayHello(broker.endpoint, { serviceName: "nowhere" })).reason,
    "service definition was not found",
  );
});
