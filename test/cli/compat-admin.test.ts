/** The admin commands of `running-process-broker-v1`, live and local (spec: admin §4). */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { createLaunching } from "../support/launching.ts";
import { parseStrictly } from "../support/open-metrics-parser.ts";
import { listen } from "../support/peers/scripted-server.ts";
import { compat } from "../support/world-cli.ts";
import { createCli } from "./support/cli.ts";

test("asked of a live broker, each command prints the broker's body with a final newline", async (t) => {
  const launching = await createLaunching(t);
  const { world, broker } = launching;
  world.define({ serviceName: "svc", binary: "obeys.mjs" });
  await launching.negotiated("svc");
  const env = { RUNNING_PROCESS_BROKER_V1_SOCKET: broker.endpoint };
  const out = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await compat(world, args, { env });
    assert.deepEqual([code, stderr], [0, ""], args.join(" "));
    assert.match(stdout, /[^\n]\n$/);
    return stdout;
  };
  const pid = launching.pids("svc")[0];
  // Further flags are accepted and mean nothing.
  for (const flags of [[], ["--json"], ["--effective", "--frob"]]) {
    assert.equal(JSON.parse(await out("dump", ...flags)).backend_table[0].pid, pid);
    assert.equal(JSON.parse(await out("list-instances", ...flags)).instances[0].pid, broker.pid);
    assert.equal(JSON.parse(await out("config", ...flags)).values.broker.broker_instance.value, "launch");
    const families = parseStrictly(await out("metrics", ...flags), { frozenCounterNames: true });
    assert.equal(families[0]?.samples[0]?.value, 1);
  }
  assert.equal(JSON.parse(await out("backend-health", "--json", "svc")).backends[0].pid, pid);
  assert.equal(JSON.parse(await out("backend-health")).service_name, "unknown");
  const output = join(world.root, "c.tar.gz");
  assert.equal(JSON.parse(await out("diagnose", "--output", output)).output, output);
  assert.equal(execFileSync("tar", ["-tzf", output], { encoding: "utf8" }).split("\n").length, 9);
  const failed = await compat(world, ["diagnose", "--output", join(world.root, "none/c.tar.gz")], { env });
  assert.deepEqual([failed.code, JSON.parse(failed.stdout).bundle.created], [1, false]);
});

test("without a broker each command renders a local snapshot of nothing", async (t) => {
  const { root, compat: run } = createCli(t);
  const out = async (...args: string[]): Promise<string> => {
    const { code, out: text, err } = await run(args);
    assert.deepEqual([code, err], [0, ""], args.join(" "));
    assert.match(text, /[^\n]\n$/);
    return text;
  };
  const dump = JSON.parse(await out("dump"));
  assert.deepEqual(
    [dump.broker_instance, dump.backend_table, dump.spawn_budgets, dump.recent_lifecycle_events],
    ["local", [], [], []],
  );
  const [instance] = JSON.parse(await out("list-instances")).instances;
  assert.deepEqual([instance.broker_instance, instance.pipe, instance.state], ["local", "", "not-serving"]);
  const { values } = JSON.parse(await out("config"));
  assert.deepEqual(values.broker.accepting_hello, { value: false, source: "runtime" });
  assert.deepEqual(values.paths.service_definition_dir, {
    value: join(root, "config/running-process/services"),
    source: "platform-default",
  });
  assert.deepEqual(JSON.parse(await out("backend-health", "svc")).backends, []);
  assert.equal(
    await out("metrics"),
    [
      "# TYPE running_process_broker_v1_hello_total counter",
      "# TYPE running_process_broker_v1_hello_duration_seconds histogram",
      "# TYPE running_process_broker_v1_active_backends gauge",
      "# TYPE running_process_broker_v1_spawn_attempts_total counter",
      "# TYPE running_process_broker_v1_spawn_budget_remaining gauge",
      "# TYPE running_process_broker_v1_connections_open gauge",
      "running_process_broker_v1_connections_open 0",
      "# TYPE running_process_broker_v1_fd_usage_ratio gauge",
      "running_process_broker_v1_fd_usage_ratio 0",
      "# TYPE running_process_broker_v1_uptime_seconds gauge",
      "running_process_broker_v1_uptime_seconds 0",
      "# TYPE running_process_broker_v1_handoffs_total counter",
      "# EOF",
      "",
    ].join("\n"),
  );
});

test("diagnose writes into the caller's directory by default, with a broker or without", async (t) => {
  const { root, compat: run } = createCli(t);
  const { code, out } = await run(["diagnose"]);
  const { output, bundle, files } = JSON.parse(out);
  assert.deepEqual([code, output, bundle.created, files.length], [0, join(root, "bundle.tar.gz"), true, 8]);
  assert.ok(existsSync(output));
  assert.equal((await run(["diagnose", "--output", "none/x"])).code, 1);
});

test("nothing connects to a broker in a directory that others may write to, nor waits beyond the caller's limit", async (t) => {
  const { root, compat: run } = createCli(t);
  const directory = join(root, "open");
  mkdirSync(directory);
  chmodSync(directory, 0o777);
  let connections = 0;
  const at = async (path: string): Promise<string> => {
    const server = await listen(t, path, () => {
      connections++;
    });
    return server.path;
  };
  const insecure = await run(["--socket", await at(join(directory, "b.sock")), "healthz"]);
  assert.deepEqual([insecure.code, insecure.out, connections], [1, "", 0]);
  assert.match(insecure.err, /^admin request to ".*" failed: directory .*\/open cannot be trusted/);
  const env = { RUNNING_PROCESS_BROKER_CLIENT_TIMEOUT_MS: "50" };
  const silent = await run(["--socket", await at(join(root, "silent.sock")), "healthz"], { env });
  assert.deepEqual([silent.code, silent.out, connections], [1, "", 1]);
  assert.match(silent.err, /^admin request to ".*silent.sock" failed: .* did not answer in time/);
});
