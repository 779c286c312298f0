import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { commandLine } from "../../support/process-facts.ts";
import { createWorld, RPB, type World } from "../../support/world.ts";

interface Answer {
  readonly answer?: string;
  readonly code?: string;
  readonly message?: string;
  readonly endpoint?: string;
  readonly startedBroker?: boolean;
}

const CLIENTS = 100;

async function ask(world: World, client: string, service: string, text: string, timeoutMs = 60_000): Promise<Answer> {
  const { stdout, stderr } = await world.run(process.execPath, [client, service, "1.0.0", text, String(timeoutMs)]);
  assert.notEqual(stdout, "", `the client said nothing: ${stderr}`);
  return JSON.parse(stdout) as Answer;
}

function brokersOf(world: World): number[] {
  return world.processes().filter((pid) => commandLine(pid).includes("rpb.cjs serve"));
}

/** One line for each launch, from the logs that auto-started brokers write. */
function launchesIn(world: World): number {
  const logs = readdirSync(world.logs).filter((name) => name.startsWith("broker-"));
  const lines = logs.flatMap((name) => readFileSync(join(world.logs, name), "utf8").split("\n"));
  return lines.filter((line) => line.includes('"backend-launching"')).length;
}

async function stopInstance(world: World, instance: string): Promise<void> {
  const { code, stderr } = await world.run(process.execPath, [RPB, "stop", "--with-backends", "--instance", instance]);
  assert.equal(code, 0, stderr);
}

test("100 cold client processes at once end with one broker, one backend and 100 answers", async (t) => {
  const world = await createWorld(t);
  world.define({ serviceName: "herd" });
  const client = world.install("client.mjs");
  const answers = await Promise.all(Array.from({ length: CLIENTS }, (_, i) => ask(world, client, "herd", `text ${i}`)));
  assert.deepEqual(
    answers.map(({ answer, message }) => answer ?? message),
    Array.from({ length: CLIENTS }, (_, i) => [...`text ${i}`].reverse().join("")),
  );
  assert.equal(new Set(answers.map(({ endpoint }) => endpoint)).size, 1, "one backend");
  assert.equal(answers.filter(({ startedBroker }) => startedBroker).length, 1, "one client started the broker");
  assert.equal(brokersOf(world).length, 1, "one broker");
  assert.equal(launchesIn(world), 1, "one launch");
  await stopInstance(world, "private:herd");
});

test("a service that is slow to bind and one that is dead delay nobody who asks for another one", async (t) => {
  const world = await createWorld(t);
  execFileSync("mkfifo", [join(world.root, "go")]);
  world.define({ serviceName: "quick", isolation: "shared" });
  world.define({
    serviceName: "slow",
    isolation: "shared",
    binary: "binds-when-told.mjs",
    labels: { "exec.bind": "backend", "exec.ready_timeout": "2m" },
  });
  world.define({ serviceName: "dead", isolation: "shared", binary: "exits-at-once.mjs" });
  const client = world.install("client.mjs");
  const many = (service: string, count: number, timeoutMs = 110_000): Promise<Answer[]> =>
    Promise.all(Array.from({ length: count }, (_, i) => ask(world, client, service, `text ${i}`, timeoutMs)));

  const slow = many("slow", 10);
  // Too short for the hint of a used-up launch budget (up to 30 s), so that nobody waits for it.
  const [dead, quick] = await Promise.all([many("dead", 10, 20_000), many("quick", CLIENTS - 20)]);
  const stillSlow = await Promise.race([slow, Promise.resolve("pending")]);

  assert.equal(stillSlow, "pending", "no slow client was answered yet");
  assert.deepEqual(
    quick.filter(({ answer }) => answer === undefined),
    [],
  );
  assert.deepEqual(
    dead.filter(({ code }) => code !== "BACKEND_SPAWN_FAILED" && code !== "RATE_LIMITED"),
    [],
  );
  writeFileSync(join(world.root, "go"), "now");
  assert.deepEqual(
    (await slow).filter(({ answer }) => answer === undefined),
    [],
  );
  assert.equal(new Set(quick.map(({ endpoint }) => endpoint)).size, 1, "one backend of the quick service");
  assert.equal(new Set((await slow).map(({ endpoint }) => endpoint)).size, 1, "one backend of the slow service");
  assert.equal(brokersOf(world).length, 1, "one broker");
  await stopInstance(world, "shared");
});
