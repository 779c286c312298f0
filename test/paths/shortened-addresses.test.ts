/** Brokers and backends at addresses that were shortened: their end, their successors, their names. */
import assert from "node:assert/strict";
import { existsSync, lstatSync, readdirSync, readlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { isFallbackDirectory } from "../../src/model/places.ts";
import { processEnd } from "../support/launching.ts";
import { createTool, ofBytes, statusOf } from "./support/tool.ts";

// Regression: a successor joined directory and name by taking "//", "/." and ".." out of the path, and did not know its records.
for (const [way, bytes, end] of [
  ["hashed", 60, ""],
  ["fallback", 120, ""],
  ["a doubled slash", 30, "//x"],
  ["a dot", 40, "/./x"],
] as const) {
  test(`a broker that was killed is listed as stale and followed by one that adopts its backend (${way})`, async (t) => {
    const tool = await createTool(t, ofBytes(bytes, end));
    const first = await tool.ask();
    const { backends, broker_pid: broker } = await statusOf(tool);
    const ended = processEnd(tool.world, broker);
    process.kill(broker, "SIGKILL");
    await ended;
    const status = await tool.rpb("status");
    assert.equal(status.code, 69);
    assert.match(status.stdout, /^stale socket, no process listens/);
    const again = await tool.ask();
    assert.deepEqual([again.endpoint, again.startedBroker], [first.endpoint, true]);
    assert.equal((await statusOf(tool)).backends[0].pid, backends[0].pid);
  });

  test(`a hot restart keeps address, name and backend (${way})`, async (t) => {
    const tool = await createTool(t, ofBytes(bytes, end));
    const first = await tool.ask();
    const before = await statusOf(tool);
    const restarted = await tool.rpb("restart", "--service", "tool", "--json");
    assert.equal(restarted.code, 0, restarted.stderr);
    const again = await tool.ask();
    assert.deepEqual([again.endpoint, again.startedBroker], [first.endpoint, false]);
    const after = await statusOf(tool);
    assert.notEqual(after.broker_pid, before.broker_pid);
    assert.equal(after.backends[0].pid, before.backends[0].pid);
    assert.match((await tool.rpb("stop", "--all", "--with-backends")).stdout, /^stopped broker/);
    assert.deepEqual(tool.files(), []);
  });
}

test("two runtime directories of one user have brokers and backends of their own", async (t) => {
  const a = await createTool(t, ofBytes(90));
  const b = await createTool(t, ofBytes(90));
  const [inA, inB] = [await a.ask(), await b.ask()];
  assert.notEqual(dirname(inA.endpoint), dirname(inB.endpoint));
  assert.ok(inA.startedBroker && inB.startedBroker);
  await a.rpb("stop", "--all", "--with-backends");
  assert.deepEqual(a.files(), []);
  assert.equal((await b.ask()).startedBroker, false);
});

test("a name that does not fit has a hashed leaf beside one that does, and both are listed", async (t) => {
  const long = "l".repeat(64);
  const tool = await createTool(t, ofBytes(19), ["tool", long]);
  await tool.ask();
  await tool.ask(long);
  const listed = JSON.parse((await tool.rpb("list-instances", "--json")).stdout);
  assert.deepEqual(listed.instances.map(({ broker_instance }: { broker_instance: string }) => broker_instance).sort(), [
    `private:${long}`,
    "private:tool",
  ]);
  const [place = ""] = tool.places();
  const links = readdirSync(place).filter((name) => lstatSync(join(place, name)).isSymbolicLink());
  assert.equal(links.length, 1);
  assert.match(links[0] ?? "", new RegExp(`^rpb-v1-[0-9a-f]{16}-svc-${long}\\.sock$`));
  assert.match(readlinkSync(join(place, links[0] ?? "")), /^[0-9a-f]{16}\.sock$/);
  const stopped = await tool.rpb("stop", "--service", long, "--with-backends");
  assert.equal(stopped.code, 0, stopped.stderr);
  assert.equal(JSON.parse((await tool.rpb("list-instances", "--json")).stdout).instances.length, 1);
});

test("a backend whose handoff endpoint would not fit has its socket in the fallback directory, and is adopted there", async (t) => {
  const tool = await createTool(t, ofBytes(62));
  tool.world.define({ serviceName: "tool", labels: { "handoff.endpoint": "{endpoint}.h" } });
  const first = await tool.ask();
  assert.ok(isFallbackDirectory(dirname(first.endpoint)));
  const { broker_pid: broker } = await statusOf(tool);
  const ended = processEnd(tool.world, broker);
  process.kill(broker, "SIGKILL");
  await ended;
  assert.equal((await tool.ask()).endpoint, first.endpoint);
  await tool.rpb("stop", "--all", "--with-backends");
  assert.deepEqual(tool.files(), []);
  assert.equal(existsSync(dirname(first.endpoint)), false);
});

test("a broker whose link was deleted makes it again", async (t) => {
  const tool = await createTool(t, ofBytes(100));
  await tool.ask();
  const [place = ""] = tool.places();
  const link = readdirSync(place).find((name) => name.includes("-svc-tool")) ?? "";
  await tool.world.run("/bin/rm", [join(place, link)]);
  // The event of the removal comes before that of the request in the broker's loop, or with it.
  let listed = 0;
  for (let attempt = 0; attempt < 20 && listed === 0; attempt++)
    listed = JSON.parse((await tool.rpb("list-instances", "--json")).stdout).instances.length;
  assert.equal(listed, 1);
  assert.equal(lstatSync(join(place, link)).isSymbolicLink(), true);
});

test("clients, and brokers that end again and again, share a fallback directory without a failure", async (t) => {
  const tool = await createTool(t, ofBytes(100));
  const answers = await Promise.all(
    [1, 2, 3, 4].map(async () => {
      const seen: string[] = [];
      for (let round = 0; round < 4; round++) {
        seen.push((await tool.ask()).answer);
        await tool.rpb("stop", "--all", "--with-backends");
      }
      return seen;
    }),
  );
  assert.deepEqual(
    answers.flat(),
    Array.from({ length: 16 }, () => "hello"),
  );
});
