/** Processes without a free descriptor. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { answerOf, brokerRoundTrip, createHanding, DIRECT, type Handing, PROTOCOL, V1 } from "../../support/handing.ts";
import { descriptorsIn, openFiles } from "../../support/process-facts.ts";

function limitDescriptors(pid: number, limit: number): void {
  execFileSync("prlimit", ["--pid", String(pid), `--nofile=${limit}:20000`]);
}

/** The limit under which a process has room for `free` more descriptors. */
function limitFor(pid: number, free: number): number {
  const taken = new Set(descriptorsIn(pid).map(({ fd }) => fd));
  let limit = 0;
  for (let left = free; left > 0 || taken.has(limit); limit++) if (!taken.has(limit)) left--;
  return limit;
}

function backendPid(at: Handing): number {
  return at.world.processes().find((pid) => pid !== at.broker.pid) ?? 0;
}

test("a backend without room for a descriptor refuses, says why, and takes the next one over", async (t) => {
  const at = await createHanding(t);
  at.define("svc");
  const held = await at.open("svc");
  assert.equal(answerOf(await held.request(PROTOCOL, Buffer.from("hi"))), "HI");
  const pid = backendPid(at);
  limitDescriptors(pid, limitFor(pid, 0));
  const client = await at.raw("svc", DIRECT);
  const said = await client.event();
  assert.deepEqual([said?.ack.accepted, said?.ack.errorDetail], [false, "handoff carried no descriptor"]);
  client.connection.close();
  limitDescriptors(pid, 20_000);
  // Who was served all the time, and who comes now.
  assert.equal(answerOf(await held.request(PROTOCOL, Buffer.from("still"))), "STILL");
  const next = await at.open("svc");
  assert.equal(next.connection.route, "handed-off");
  assert.equal(answerOf(await next.request(PROTOCOL, Buffer.from("next"))), "NEXT");
  for (const session of [held, next]) await session.close();
});

test("a broker without room to dial the handoff endpoint falls back, and hands over again later", async (t) => {
  const at = await createHanding(t);
  const endpoint = `${at.world.root}/h`;
  at.define("svc", { labels: { "handoff.endpoint": endpoint, "exec.env.HANDOFF_ENDPOINT": endpoint } });
  const warm = await at.raw("svc", V1);
  assert.equal((await warm.event())?.ack.accepted, true);
  warm.connection.close();
  // The broker looks at the binary of what it has launched; with that closed in between there would be room for two.
  do await brokerRoundTrip(at);
  while (openFiles(at.broker.pid).some((path) => path.includes("/bin/")));
  // Room for the client itself, and perhaps for a look at the backend that is closed again.
  limitDescriptors(at.broker.pid, limitFor(at.broker.pid, 1));
  const outcome = await at.raw("svc", V1).then(
    async (client) => {
      const said = await client.event();
      client.connection.close();
      return said;
    },
    // Or no room even for that: refused, which is for the client to try again.
    () => undefined,
  );
  assert.equal(outcome, undefined);
  limitDescriptors(at.broker.pid, 20_000);
  const again = await at.open("svc");
  assert.equal(answerOf(await again.request(PROTOCOL, Buffer.from("again"))), "AGAIN");
  await again.close();
});
