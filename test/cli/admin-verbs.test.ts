/** The admin verbs of `rpb`: tables for people, JSON for programs, and failures with their exit codes. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { createLaunching, type Launching } from "../support/launching.ts";
import { parseStrictly } from "../support/open-metrics-parser.ts";
import { createWorld, type Finished, modeOf } from "../support/world.ts";
import { rpb } from "../support/world-cli.ts";

interface Asked extends Launching {
  /** `rpb VERB …` for this broker; it must succeed. */
  out(...args: string[]): Promise<string>;
  run(...args: string[]): Promise<Finished>;
}

/** A broker with one backend of `svc`, and a service `bad` that failed once. */
async function createAsked(t: TestContext): Promise<Asked> {
  const launching = await createLaunching(t);
  const { world, broker } = launching;
  world.define({ serviceName: "svc", binary: "obeys.mjs" });
  world.define({ serviceName: "bad", binary: "exits-at-once.mjs" });
  await launching.negotiated("svc");
  await launching.refused("bad");
  const run = (...args: string[]) => rpb(world, [...args, "--socket", broker.endpoint]);
  const out = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await run(...args);
    assert.deepEqual([code, stderr], [0, ""], args.join(" "));
    return stdout;
  };
  return { ...launching, run, out };
}

test("dump and config show a broker as tables, and as JSON", async (t) => {
  const { broker, out, pids } = await createAsked(t);
  const dump = await out("dump");
  assert.match(dump, new RegExp(`^broker launch\\n {2}${broker.endpoint}\\n\\nbackends:\\n {2}SERVICE +VERSION +PID`));
  assert.match(dump, new RegExp(`^ {2}svc +1\\.0\\.0 +${pids("svc")[0]} +running +/`, "m"));
  assert.match(dump, /^launch budgets:\n.*\n {2}bad +1\.0\.0 +1 +2 +no +-$/m);
  assert.match(dump, /^ {2}\d+ s +DIED_CRASH +bad +backend exited with status 3 before it was ready/m);
  assert.match(dump, /^ {2}paths\.service_definition_dir +\/.*\/services +platform-default$/m);
  assert.equal(JSON.parse(await out("dump", "--json")).backend_table.length, 1);

  const config = await out("config");
  assert.match(config, /^SETTING +VALUE +SOURCE\n/);
  assert.match(config, /^broker\.accepting_hello +true +runtime$/m);
  assert.match(config, /^diagnostics\.redactions +home secret-env acl-identities +schema-v1$/m);
  assert.equal(JSON.parse(await out("config", "--json")).values.limits.max_hello_bytes.value, 65_536);
});

test("backend-health tells what a service suffers from", async (t) => {
  const { out, pids } = await createAsked(t);
  assert.match(
    await out("backend-health", "svc"),
    new RegExp(
      `^VERSION +PID +STATE +LAST HELLO +LAST ERROR\\n1\\.0\\.0 +${pids("svc")[0]} +running +\\d+ s ago +none\\n$`,
    ),
  );
  assert.match(
    await out("backend-health", "bad"),
    /\n1\.0\.0 +0 +stale +never +backend exited with status \d+ .*\(\d+ s ago\)\n$/,
  );
  assert.equal(await out("backend-health", "none"), "no backends of none\n");
  assert.equal(JSON.parse(await out("backend-health", "svc", "--json")).backends[0].service_version, "1.0.0");
});

test("metrics come as a table, as JSON, and as text that a strict parser takes", async (t) => {
  const { out } = await createAsked(t);
  const table = await out("metrics");
  assert.match(table, /^METRIC +LABELS +VALUE\n/);
  assert.match(table, /^hello_total +service=svc version=1\.0\.0 outcome=negotiated +1$/m);
  assert.match(table, /^hello_duration_seconds +service=svc +1, mean [\d.]+ m?s, 99% <= [\d.]+ m?s$/m);
  assert.match(table, /^handoffs_total +none$/m);
  const families = parseStrictly(await out("metrics", "--openmetrics"));
  assert.equal(families.find(({ name }) => name === "running_process_broker_v1_hello")?.samples.length, 2);
  const json = JSON.parse(await out("metrics", "--json")) as { families: { name: string }[] };
  assert.equal(json.families[0]?.name, "running_process_broker_v1_hello_total");
});

test("diagnose writes where its caller is, says what is in the archive, and fails with the reason", async (t) => {
  const { world, run, out } = await createAsked(t);
  const output = join(world.root, "b.tar.gz");
  assert.match(
    await out("diagnose", "--output", output),
    new RegExp(`^wrote ${output} \\(\\d+ bytes\\)\\nENTRY +BYTES\\nadmin/status\\.json +\\d+\\n`),
  );
  assert.equal(modeOf(output), 0o600);
  assert.equal(execFileSync("tar", ["-tzf", output], { encoding: "utf8" }).split("\n").length, 9);
  assert.equal(JSON.parse(await out("diagnose", "--output", output, "--json")).bundle.created, true);

  mkdirSync(join(world.root, "d"));
  const nowhere = join(world.root, "none/b.tar.gz");
  const failed = await run("diagnose", "--output", nowhere, "--json");
  assert.equal(failed.code, 74);
  assert.match(failed.stderr, /^rpb: \[IO_FAILED\] no archive was written: .*ENOENT/);
  assert.equal(JSON.parse(failed.stdout).error.code, "IO_FAILED");
  assert.equal((await run("diagnose", "--output", join(world.root, "d"))).code, 2);
  assert.ok(!existsSync(nowhere));
});

test("list-instances asks every broker of the user, and names those that are gone", async (t) => {
  const world = await createWorld(t);
  world.define({ serviceName: "a", binary: "obeys.mjs" });
  const [one, two] = [
    await world.startBroker(["--instance", "explicit:one"]),
    await world.startBroker(["--instance", "shared"]),
  ];
  two.process.kill("SIGKILL");
  await two.ended;
  const table = await rpb(world, ["list-instances"]);
  assert.equal(table.code, 0);
  assert.match(table.stdout, new RegExp(`^explicit:one +${one.pid} +running +${one.endpoint}$`, "m"));
  assert.match(table.stdout, new RegExp(`^- +0 +stale +${two.endpoint}$`, "m"));
  const { instances, command } = JSON.parse((await rpb(world, ["list-instances", "--json"])).stdout);
  assert.deepEqual([command, instances.length], ["list-instances", 2]);
  const single = await rpb(world, ["list-instances", "--json", "--instance", "explicit:one"]);
  assert.deepEqual(JSON.parse(single.stdout).instances, [
    { broker_instance: "explicit:one", pipe: one.endpoint, pid: one.pid, state: "running" },
  ]);
  assert.equal((await one.stop()).code, 0);
  const none = await rpb(world, ["list-instances"]);
  assert.equal(none.code, 69);
  assert.match(none.stderr, /^rpb: \[BROKER_UNAVAILABLE\] no broker of this user is running\n/);
  // The socket a dead broker left is taken by the next.
  assert.equal((await (await world.startBroker(["--instance", "shared"])).stop()).code, 0);
});

test("none of them starts anything, and backend-health finds the broker by its service's definition", async (t) => {
  const world = await createWorld(t);
  world.define({ serviceName: "svc", binary: "obeys.mjs" });
  for (const args of [["dump"], ["config"], ["metrics"], ["diagnose"], ["list-instances"], ["backend-health", "svc"]]) {
    const { code, stderr, stdout } = await rpb(world, args);
    assert.deepEqual([code, stdout], [69, ""], args.join(" "));
    assert.match(stderr, /^rpb: \[BROKER_UNAVAILABLE\] no broker /, args.join(" "));
  }
  assert.match((await rpb(world, ["backend-health", "svc"])).stderr, /-svc-svc\.sock/);
  assert.equal((await rpb(world, ["backend-health", "nobody"])).code, 78);
  assert.deepEqual(world.processes(), []);
});
