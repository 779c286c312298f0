/** Admin frames that are not valid end their own connection and nothing else (spec: admin §1.1). */
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { encodeMessage } from "../../../src/wire/codec.ts";
import { encodeFrameBytes } from "../../../src/wire/framing.ts";
import { AdminRequestSchema, AdminVerb, type Frame, FrameSchema } from "../../../src/wire/messages.ts";
import type { Init } from "../../../src/wire/schema.ts";
import { createLaunching, makeFifo } from "../../support/launching.ts";
import { adminReply, converse, negotiatedIn, openRaw, sayHello } from "../../support/peers/raw-peer.ts";
import { rest } from "../../support/probing.ts";
import { createWorld } from "../../support/world.ts";
import { ask, requestBytes } from "./support/asking.ts";

type FrameInit = Init<Frame>;

/** In the frozen order of the checks: each row is also wrong in what the rows behind it are about. */
const ROWS: readonly (readonly [FrameInit, string])[] = [
  [{ envelopeVersion: 2, kind: 1, payloadEncoding: 1 }, "unsupported admin frame envelope_version 2"],
  [{ kind: 2, payloadEncoding: 3 }, "admin frame kind must be REQUEST, got 2"],
  [{ payloadEncoding: 1, payload: Buffer.from([0xff]) }, "admin frame payload must not be compressed, got 1"],
  [{ payload: Buffer.from([0x0a, 5, 1]) }, "AdminRequest"],
];

function frameBytes(init: FrameInit): Buffer {
  const payload = encodeMessage(AdminRequestSchema, { verb: AdminVerb.HEALTHZ });
  return encodeFrameBytes(
    encodeMessage(FrameSchema, { envelopeVersion: 1, payloadProtocol: 0xad01, payload, ...init }),
  );
}

test("an invalid admin frame closes its connection without a byte, while everybody else is served", async (t) => {
  const { world, broker } = await createLaunching(t);
  const started = makeFifo(join(world.root, "started"));
  const go = makeFifo(join(world.root, "go"));
  world.define({ serviceName: "svc", binary: "waits.mjs", labels: { "exec.env.STARTED": started, "exec.env.GO": go } });
  const inWork = sayHello(broker.endpoint, { serviceName: "svc" });
  await readFile(started);
  const open = await openRaw(broker.endpoint);
  const answer = rest(open);
  for (const [init, what] of ROWS) {
    const closed = await Promise.all(Array.from({ length: 8 }, () => converse(broker.endpoint, frameBytes(init))));
    assert.deepEqual(
      closed.map(({ length }) => length),
      new Array(8).fill(0),
      what,
    );
    assert.equal((await ask(broker.endpoint, { verb: AdminVerb.HEALTHZ })).body, "ok\n");
  }
  open.write(requestBytes({ verb: AdminVerb.READYZ }));
  assert.equal(adminReply(await answer).body, "ready\n");
  await writeFile(go, "");
  negotiatedIn(await inWork);
});

test("the log says in the frozen words what was wrong", async (t) => {
  const world = await createWorld(t);
  const broker = await world.startBroker(["--log-level", "debug"]);
  for (const [init, what] of ROWS) {
    await converse(broker.endpoint, frameBytes(init));
    await broker.logged(new RegExp(`"connection-dropped".*${what}`));
  }
  assert.equal((await broker.stop()).code, 0);
});
