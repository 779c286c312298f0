/** The story of a launch, a crash and a refusal as an operator reads it, from real brokers and backends. */
import assert from "node:assert/strict";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { createLaunching, type Launching, order, processEnd } from "../../support/launching.ts";
import { createWorld, modeOf, type World } from "../../support/world.ts";
import { rpb } from "../../support/world-cli.ts";

type Json = Record<string, unknown> & { extra: Record<string, string> };

async function eventsOf(world: World, ...args: string[]): Promise<Json[]> {
  const { code, stdout, stderr } = await rpb(world, ["events", "--json", ...args]);
  assert.equal(code, 0, stderr);
  return stdout
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Json);
}

async function why(launching: Launching, ...args: string[]) {
  const { world, broker } = launching;
  const result = await rpb(world, ["why", ...args, "--json", "--socket", broker.endpoint]);
  assert.equal(result.code, 0, result.stderr);
  return JSON.parse(result.stdout);
}

test("a launch, a crash, the next launch and refusals are on record with their reasons, and why tells them", async (t) => {
  const launching = await createLaunching(t);
  const { world, broker } = launching;
  world.define({ serviceName: "svc", binary: "obeys.mjs", minVersion: "1.0.0" });
  world.define({ serviceName: "bad", binary: "exits-at-once.mjs" });
  await launching.negotiated("svc");
  await launching.negotiated("svc");
  const [first] = launching.pids("svc") as [number];
  const running = await why(launching, "svc");
  assert.deepEqual([running.broker.state, running.broker.pid], ["up", broker.pid]);
  assert.deepEqual([running.versions[0].state, running.versions[0].pid], ["running", first]);

  process.kill(first, "SIGKILL");
  await broker.logged(/"to":"absent"/);
  assert.match(
    (await why(launching, "svc")).versions[0].sentence,
    new RegExp(`does not run: pid ${first} crashed by signal SIGKILL`),
  );
  await launching.negotiated("svc");
  const second = launching.pids("svc").at(-1) as number;
  await launching.refused("svc", "0.9.0");
  await launching.refused("bad");
  await launching.refused("none");

  const story = (await eventsOf(world, "--service", "svc")).map(({ kind, pid, reason, extra }) => [
    kind,
    pid,
    reason,
    extra.version,
  ]);
  const me = process.pid;
  assert.deepEqual(
    story.map(([kind, pid, , version]) => [kind, pid, version]),
    [
      ["SERVICE_DEF_LOADED", undefined, undefined],
      ["SPAWN_ATTEMPT", undefined, "1.0.0"],
      ["SPAWN", first, "1.0.0"],
      ["HELLO_ACCEPTED", me, "1.0.0"],
      ["HELLO_ACCEPTED", me, "1.0.0"],
      ["DIED_CRASH", first, "1.0.0"],
      ["SPAWN_ATTEMPT", undefined, "1.0.0"],
      ["SPAWN", second, "1.0.0"],
      ["HELLO_ACCEPTED", me, "1.0.0"],
      ["VERSION_MISMATCH", me, "0.9.0"],
    ],
  );
  assert.equal(story[1]?.[2], `for a Hello of pid ${me}: no backend of this version has run under this broker`);
  assert.match(String(story[2]?.[2]), /^ready \d+ ms after its launch began$/);
  assert.deepEqual(
    [story[3]?.[2], story[4]?.[2]],
    [`got the backend launched for it (pid ${first})`, `got the running backend (pid ${first})`],
  );
  assert.equal(story[6]?.[2], `for a Hello of pid ${me}: the last one (pid ${first}) crashed by signal SIGKILL`);

  const bad = await eventsOf(world, "--service", "bad");
  assert.deepEqual(
    bad.slice(1).map(({ kind, extra }) => [kind, extra.code]),
    [
      ["SPAWN_ATTEMPT", undefined],
      ["DIED_CRASH", "PROCESS_EXITED"],
      ["HELLO_REFUSED", "BACKEND_SPAWN_FAILED"],
    ],
  );
  assert.match(
    String(bad[2]?.reason),
    /exited with status 3 before it was ready; last output: cannot load the model: file is missing/,
  );
  const [none] = await eventsOf(world, "--service", "none");
  assert.deepEqual(
    [none?.kind, none?.extra.code, none?.reason],
    ["HELLO_REFUSED", "SERVICE_UNKNOWN", "service definition was not found"],
  );
  assert.ok(
    (await eventsOf(world)).every(
      (event) => event.broker_instance === "launch" && event.extra.broker_pid === String(broker.pid),
    ),
  );

  const told = await why(launching, "svc");
  assert.deepEqual(
    told.versions.map((version: { version: string; state: string }) => [version.version, version.state]),
    [
      ["1.0.0", "running"],
      ["0.9.0", "refused"],
    ],
  );
  assert.deepEqual(
    told.versions[0].chain.map(({ sentence }: { sentence: string }) => sentence.replace(/ready \d+/, "ready N")),
    [
      `broker launch (pid ${broker.pid}) started`,
      `its definition was read: binary ${join(world.root, "bin/obeys.mjs")}`,
      `pid ${first} crashed by signal SIGKILL`,
      `a launch began for a Hello of pid ${me}: the last one (pid ${first}) crashed by signal SIGKILL`,
      `pid ${second} was ready N ms after its launch began`,
      `a Hello of pid ${me} got the backend launched for it (pid ${second})`,
    ],
  );
  const people = await rpb(world, ["why", "bad", "--socket", broker.endpoint]);
  assert.match(people.stdout, /^bad 1\.0\.0 does not run: its last launch failed: backend exited with status 3 .*\n/);
  assert.match(
    people.stdout,
    /\n {2}\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} {2}a Hello of pid \d+ was refused \(BACKEND_SPAWN_FAILED\)/,
  );
  assert.equal(modeOf(join(world.logs, "lifecycle.jsonl")), 0o600);
});

test("without a broker the record is still told, and whose process was left", async (t) => {
  const launching = await createLaunching(t);
  const { world, broker } = launching;
  world.define({ serviceName: "svc", binary: "obeys.mjs" });
  await launching.negotiated("svc");
  const [pid] = launching.pids("svc") as [number];
  await broker.stop();
  const left = await why(launching, "svc");
  assert.deepEqual(
    [left.broker.state, left.versions[0].state, left.versions[0].pid],
    ["not-running", "left-running", pid],
  );
  assert.match(
    left.versions[0].chain.at(-1).sentence,
    /its broker \(pid \d+\) ended: stopped \(signal\), 1 backends keep running/,
  );
  const ended = processEnd(world, pid);
  process.kill(pid, "SIGKILL");
  await ended;
  assert.match((await why(launching, "svc")).versions[0].sentence, /pid \d+ is gone, and its end is not on record/);
  const types = (await eventsOf(world)).map(({ extra }) => extra.type);
  assert.deepEqual(types.slice(-2), ["broker-stopping", "broker-stopped"]);
  // Only a broker that comes later would clear them away.
  rmSync(world.runtime, { recursive: true });
});

test("a changed definition is on record by the names of its fields, a rewritten one is not", async (t) => {
  const launching = await createLaunching(t);
  const { world } = launching;
  const define = (minVersion: string, token: string): void =>
    world.define({ serviceName: "svc", binary: "obeys.mjs", minVersion, labels: { "exec.env.TOKEN": token } });
  define("1.0.0", "one");
  await launching.negotiated("svc");
  define("1.0.0", "one");
  await launching.negotiated("svc");
  define("0.9.0", "two");
  await launching.negotiated("svc");
  const changes = (await eventsOf(world, "--service", "svc")).filter(({ kind }) =>
    String(kind).startsWith("SERVICE_DEF"),
  );
  assert.deepEqual(
    changes.map(({ kind, reason }) => [kind, reason]),
    [
      ["SERVICE_DEF_LOADED", `binary ${join(world.root, "bin/obeys.mjs")}`],
      ["SERVICE_DEF_CHANGED", "changed: minVersion, exec.env.TOKEN"],
    ],
  );
  assert.ok(!readFileSync(join(world.logs, "lifecycle.jsonl"), "utf8").includes("two"));
});

test("reading verbs start nothing, say when there is nothing, and refuse names that nobody defined", async (t) => {
  const world = await createWorld(t);
  world.define({ serviceName: "svc" });
  for (const [args, code, text] of [
    [["events"], 0, /^no such events in /],
    [["logs", "svc"], 0, /^svc has no log in /],
    [["logs", "svc", "--version", "1.0.0"], 0, /^svc 1\.0\.0 has no log in /],
    [["logs", "none"], 78, /DEFINITION_NOT_FOUND/],
    [["why", "none"], 78, /DEFINITION_NOT_FOUND/],
    [["why", "No"], 78, /NAME_INVALID/],
    [["logs", "../x"], 78, /NAME_INVALID/],
    [["events", "--since", "soon"], 2, /duration/],
  ] as const) {
    const result = await rpb(world, args);
    assert.equal(result.code, code, args.join(" "));
    assert.match(result.stderr, text);
    assert.equal(result.stdout, "");
  }
  const nothing = await rpb(world, ["why", "svc"]);
  assert.match(nothing.stdout, /^nothing about svc is on record[^\n]*\n\nits broker does not run\n {2}\//);
  assert.deepEqual(world.processes(), []);
});

test("logs shows what a version wrote, the older half first, with or without a broker", async (t) => {
  const launching = await createLaunching(t);
  const { world, broker } = launching;
  world.define({ serviceName: "svc", binary: "obeys.mjs", labels: { "log.max_bytes": "1000000" } });
  const { backendPipe } = await launching.negotiated("svc");
  await order(backendPipe, "write-output");
  const all = await rpb(world, ["logs", "svc"]);
  assert.equal(all.stdout, `${"0123456789abcde\n".repeat(1024)}\n`);
  await launching.shutDown();
  await broker.ended;
  assert.equal((await rpb(world, ["logs", "svc", "--lines", "2"])).stdout, "0123456789abcde\n\n");
  assert.match((await rpb(world, ["logs", "svc", "--version", "2.0.0"])).stderr, /; there are 1\.0\.0\n$/);
});
