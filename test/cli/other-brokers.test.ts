/**
 * `rpb` against brokers that do not know the numbers of ours: earlier versions of this package, and the reference. Guards
 * against a request that such a broker skips and the command line takes for done.
 */
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { decodeMessage, encodeMessage } from "../../src/wire/codec.ts";
import { decodeFrame, encodeResponse } from "../../src/wire/envelope.ts";
import { createFrameDecoder } from "../../src/wire/frame-decoder.ts";
import { type AdminReply, AdminReplyKind, AdminReplySchema, AdminRequestSchema } from "../../src/wire/messages.ts";
import type { Init } from "../../src/wire/schema.ts";
import { createWorld, type World } from "../support/world.ts";
import { rpb } from "../support/world-cli.ts";

const UNSUPPORTED: Init<AdminReply> = { body: "unsupported admin verb\n", exitCode: 2, contentType: "text/plain" };

interface OtherBroker {
  readonly world: World;
  readonly endpoint: string;
  /** Verbs in the order in which they were asked. */
  readonly asked: number[];
}

/** Knows STATUS (1) and, with `shutdown`, SHUTDOWN (21), in the way of the reference; in this process. */
async function startOther(t: TestContext, { shutdown }: { shutdown: boolean }): Promise<OtherBroker> {
  const asked: number[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    const decoder = createFrameDecoder();
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      decoder.push(chunk);
      const body = decoder.next();
      if (body === undefined) return;
      const frame = decodeFrame(body);
      const verb: number = decodeMessage(AdminRequestSchema, frame.payload).verb;
      asked.push(verb);
      const ends = verb === 21 && shutdown;
      let reply = UNSUPPORTED;
      if (verb === 1) reply = { kind: AdminReplyKind.JSON, body: "{}", contentType: "application/json" };
      if (ends) reply = { body: "broker shutting down\n", contentType: "text/plain" };
      const payload = encodeMessage(AdminReplySchema, reply);
      socket.end(encodeResponse(frame, { payloadProtocol: 0xad01, payload }));
      if (ends) server.close();
    });
  });
  // Before the world's own hook: they run in the order of registration.
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const world = await createWorld(t);
  const endpoint = join(world.runtime, "other.sock");
  mkdirSync(world.runtime, { recursive: true, mode: 0o700 });
  await new Promise<void>((resolve) => server.listen(endpoint, resolve));
  return { world, endpoint, asked };
}

test("restart and release-handles say with a code that the broker is another one, and what helps", async (t) => {
  const { world, endpoint, asked } = await startOther(t, { shutdown: true });
  const restart = await rpb(world, ["restart", "--socket", endpoint]);
  assert.deepEqual([restart.code, restart.stdout], [76, ""]);
  assert.match(
    restart.stderr,
    /^rpb: \[VERSION_UNSUPPORTED\] the broker on .* cannot be restarted by this command \(unsupported admin verb\): it is of another version or make; stop it with `rpb stop`/,
  );
  const release = await rpb(world, ["release-handles", "/srv", "--socket", endpoint]);
  assert.equal(release.code, 76);
  assert.match(release.stderr, /\[VERSION_UNSUPPORTED\] the broker on .* cannot ask its backends .*; stop it with/);
  const json = await rpb(world, ["release-handles", "/srv", "--json", "--socket", endpoint]);
  assert.equal(json.code, 76);
  assert.equal(JSON.parse(json.stdout).error.code, "VERSION_UNSUPPORTED");
  // Never by the numbers that the reference may have given away by now.
  assert.deepEqual(asked, [1023, 1022, 1022]);
});

test("a path that a broker of this version refuses is the path's fault, not the broker's", async (t) => {
  const world = await createWorld(t);
  const broker = await world.startBroker(["--instance", "shared"]);
  const { code, stderr } = await rpb(world, ["release-handles", `/${"x/".repeat(2100)}x`, "--socket", broker.endpoint]);
  assert.match(stderr, /^rpb: \[OPTION_INVALID\] the broker on .* refuses the path: /);
  assert.equal(code, 2);
  assert.equal((await broker.stop()).code, 0);
});

test("stop --with-backends does not claim an end of backends that the broker has not confirmed", async (t) => {
  const { world, endpoint, asked } = await startOther(t, { shutdown: true });
  const stop = await rpb(world, ["stop", "--with-backends", "--socket", endpoint]);
  assert.deepEqual([stop.code, stop.stdout], [76, ""]);
  assert.match(stop.stderr, /\[VERSION_UNSUPPORTED\] the broker on .* has ended, but not its backends: .*`rpb serve`/);
  assert.deepEqual(asked, [1, 21]);
});

test("stop without it needs no confirmation", async (t) => {
  const { world, endpoint } = await startOther(t, { shutdown: true });
  const stop = await rpb(world, ["stop", "--socket", endpoint]);
  assert.deepEqual([stop.code, stop.stderr, stop.stdout], [0, "", `stopped broker: ${endpoint}\n`]);
});

test("a broker that knows no SHUTDOWN goes on, and stop says how it can be ended", async (t) => {
  const { world, endpoint } = await startOther(t, { shutdown: false });
  for (const more of [[], ["--with-backends"]]) {
    const stop = await rpb(world, ["stop", "--socket", endpoint, ...more]);
    assert.deepEqual([stop.code, stop.stdout], [76, ""]);
    assert.match(stop.stderr, new RegExp(`cannot be asked to end .*; send SIGTERM to process ${process.pid} instead`));
  }
});
