/** The JSON verbs beside status, on a broker with real backends (spec: admin §2, §3.2 to §3.5). */
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { AdminVerb } from "../../../src/wire/messages.ts";
import { createLaunching, makeFifo } from "../../support/launching.ts";
import { negotiatedIn, openRaw, sayHello } from "../../support/peers/raw-peer.ts";
import { createWorld } from "../../support/world.ts";
import { ask, askJson } from "./support/asking.ts";

interface Row {
  readonly [field: string]: unknown;
}

interface Dump {
  readonly generated_at_unix_ms: number;
  readonly backend_table: readonly Row[];
  readonly spawn_budgets: readonly Row[];
  readonly recent_lifecycle_events: readonly Row[];
  readonly effective_config: object;
}

interface Health {
  readonly service_name: string;
  readonly backends: readonly Row[];
}

type Config = Readonly<Record<string, Readonly<Record<string, { value: unknown; source: string }>>>>;

test("dump shows backends, budgets and events as they are, rows sorted by service and version", async (t) => {
  const launching = await createLaunching(t);
  const { world, broker } = launching;
  for (const serviceName of ["b", "a"]) world.define({ serviceName, binary: "obeys.mjs" });
  world.define({ serviceName: "bad", binary: "exits-at-once.mjs" });
  const started = makeFifo(join(world.root, "started"));
  const go = makeFifo(join(world.root, "go"));
  world.define({
    serviceName: "slow",
    binary: "waits.mjs",
    labels: { "exec.env.STARTED": started, "exec.env.GO": go },
  });
  const pipes = new Map<string, string>();
  for (const [service, version] of [
    ["b", "1.0.0"],
    ["a", "2.0.0"],
    ["a", "1.0.0"],
  ] as const)
    pipes.set(`${service} ${version}`, (await launching.negotiated(service, version)).backendPipe);
  for (let i = 0; i < 3; i++) await launching.refused("bad");
  await launching.refused("bad", "2.0.0");
  const inWork = sayHello(broker.endpoint, { serviceName: "slow" });
  await readFile(started);

  const dump = await askJson<Dump>(broker.endpoint, { verb: AdminVerb.DUMP });
  await writeFile(go, "");
  negotiatedIn(await inWork);

  const { values } = await askJson<{ values: object }>(broker.endpoint, { verb: AdminVerb.CONFIG });
  assert.deepEqual(Object.keys(dump.effective_config), Object.keys(values));
  assert.deepEqual(
    dump.backend_table.map(({ service_name, service_version, backend_pipe, pid, state }) => [
      service_name,
      service_version,
      backend_pipe,
      typeof pid,
      state,
    ]),
    ["a 1.0.0", "a 2.0.0", "b 1.0.0"].map((key) => [...key.split(" "), pipes.get(key), "number", "running"]),
  );
  const budget = (service: string, version: string, used: number, inFlight: boolean): Row => ({
    broker_instance: `private:${service}`,
    service_name: service,
    service_version: version,
    attempts_used: used,
    remaining: 3 - used,
    in_flight: inFlight,
    retry_after_ms: null,
  });
  const [exhausted, ...others] = dump.spawn_budgets;
  const { retry_after_ms, ...rest } = exhausted as Row;
  const { retry_after_ms: _, ...full } = budget("bad", "1.0.0", 3, false);
  assert.deepEqual(rest, full);
  assert.ok(typeof retry_after_ms === "number" && retry_after_ms > 0 && retry_after_ms <= 30_000);
  assert.deepEqual(others, [budget("bad", "2.0.0", 1, false), budget("slow", "1.0.0", 1, true)]);
  const events = dump.recent_lifecycle_events;
  const typed = events.map((event): Row => ({ ...event, type: (event.extra as Row | undefined)?.type }));
  assert.equal(typed[0]?.type, "broker-started");
  assert.equal(typed.filter(({ type, service_name }) => type === "hello-refused" && service_name === "bad").length, 4);
  assert.ok(events.some(({ kind, service_name }) => kind === "SPAWN" && service_name === "b"));
  const times = events.map(({ ts_ms }) => Number(ts_ms));
  assert.deepEqual(
    times,
    [...times].sort((one, two) => one - two),
  );
  assert.ok(Number(times.at(-1)) <= dump.generated_at_unix_ms);
});

test("list-instances has the broker that answers, with its address, and says when it takes no work", async (t) => {
  const world = await createWorld(t);
  const started = makeFifo(join(world.root, "started"));
  const go = makeFifo(join(world.root, "go"));
  const broker = await world.startBroker(["--instance", "explicit:one"]);
  const labels = { "exec.env.STARTED": started, "exec.env.GO": go };
  world.define({ serviceName: "slow", binary: "waits.mjs", isolation: "explicit", explicitInstance: "one", labels });
  const list = () => askJson<{ instances: Row[] }>(broker.endpoint, { verb: AdminVerb.LIST_INSTANCES });
  const { instances, ...head } = await list();
  assert.deepEqual(Object.keys(head), ["schema_version", "command", "generated_at_unix_ms"]);
  const row = { broker_instance: "explicit:one", pipe: broker.endpoint, pid: broker.pid, state: "running" };
  assert.deepEqual(instances, [row]);
  // A broker that ends waits for the work it has.
  const inWork = sayHello(broker.endpoint, { serviceName: "slow" });
  await readFile(started);
  await ask(broker.endpoint, { verb: AdminVerb.SHUTDOWN, withBackends: true });
  await broker.logged(/"broker-stopping"/);
  assert.deepEqual((await list()).instances, [{ ...row, state: "not-serving" }]);
  await writeFile(go, "");
  negotiatedIn(await inWork);
  assert.equal((await broker.ended).code, 0);
});

test("backend-health has the last Hello and the last error of each version, also of those that do not run", async (t) => {
  const launching = await createLaunching(t);
  const { world, broker } = launching;
  world.define({ serviceName: "svc", binary: "obeys.mjs" });
  world.define({ serviceName: "bad", binary: "exits-at-once.mjs" });
  const health = (serviceName: string) =>
    askJson<Health>(broker.endpoint, { verb: AdminVerb.BACKEND_HEALTH, serviceName });
  assert.deepEqual((await health("svc")).backends, []);
  assert.deepEqual((await health("")).service_name, "unknown");

  const before = Math.floor(world.platform.clock.wallMs());
  for (const version of ["2.0.0", "1.0.0"]) await launching.negotiated("svc", version);
  const first = (await health("svc")).backends;
  assert.deepEqual(
    first.map(({ service_version, state, last_error }) => [service_version, state, last_error]),
    [
      ["1.0.0", "running", null],
      ["2.0.0", "running", null],
    ],
  );
  const lastHello = Number(first[0]?.last_hello_unix_ms);
  assert.ok(lastHello >= before && lastHello <= Math.ceil(world.platform.clock.wallMs()));
  assert.ok(launching.pids("svc").includes(Number(first[0]?.pid)));

  process.kill(Number(first[0]?.pid), "SIGKILL");
  await broker.logged(/running -> absent/);
  const [gone] = (await health("svc")).backends;
  const { last_error_unix_ms, ...rest } = gone as Row;
  const error = "backend was ended by SIGKILL";
  assert.deepEqual(rest, {
    service_version: "1.0.0",
    pid: 0,
    state: "stale",
    last_hello_unix_ms: lastHello,
    last_error: error,
  });
  assert.ok(Number(last_error_unix_ms) >= lastHello);
  // It runs again; what went wrong before is still known.
  await launching.negotiated("svc", "1.0.0");
  assert.deepEqual(
    (await health("svc")).backends.map(({ state, last_error }) => [state, last_error]),
    [
      ["running", error],
      ["running", null],
    ],
  );

  await launching.refused("bad");
  const [failed] = (await health("bad")).backends;
  assert.deepEqual([failed?.state, failed?.pid, failed?.last_hello_unix_ms], ["stale", 0, 0]);
  assert.match(String(failed?.last_error), /^backend exited with status \d+ before it was ready$/);
});

test("config has every frozen setting, each with its source, and the directory the broker really uses", async (t) => {
  const world = await createWorld(t);
  const broker = await world.startBroker([
    "--instance",
    "shared",
    "--service-def-dir",
    join(world.root, "config/other"),
  ]);
  const idle = await openRaw(broker.endpoint);
  const { values } = await askJson<{ values: Config }>(broker.endpoint, { verb: AdminVerb.CONFIG });
  idle.destroy();
  const leaves = Object.entries(values).flatMap(([group, settings]) =>
    Object.entries(settings).map(([name, { value, source }]) => [`${group}.${name}`, value, source]),
  );
  assert.deepEqual(leaves, [
    ["broker.broker_instance", "shared", "runtime"],
    ["broker.broker_pid", broker.pid, "runtime"],
    ["broker.accepting_hello", true, "runtime"],
    ["protocol.admin_payload_protocol", "0xAD01", "protocol-v1"],
    ["protocol.envelope_version", 1, "protocol-v1"],
    ["protocol.framing_version", 1, "protocol-v1"],
    ["limits.max_frame_bytes", 16_777_216, "protocol-v1"],
    ["limits.max_hello_bytes", 65_536, "protocol-v1"],
    ["limits.connections_open", 2, "runtime"],
    ["paths.service_definition_dir", join(world.root, "config/other"), "flag:--service-def-dir"],
    ["spawn_budget.default_attempts_per_window", 3, "default"],
    ["spawn_budget.default_window_ms", 30_000, "default"],
    ["spawn_budget.active_budget_rows", 0, "runtime"],
    ["diagnostics.bundle_format", "tar.gz", "schema-v1"],
    ["diagnostics.bundle_mode", "metadata-only", "schema-v1"],
    ["diagnostics.redactions", ["home", "secret-env", "acl-identities"], "schema-v1"],
  ]);
  assert.equal((await broker.stop()).code, 0);
});

test("config names the variable and the default that the directory of definitions came from", async (t) => {
  const world = await createWorld(t);
  const directory = join(world.root, "config/mine");
  for (const [env, path, source] of [
    [{}, world.definitions, "platform-default"],
    [{ RUNNING_PROCESS_SERVICE_DEF_DIR: directory }, directory, "env:RUNNING_PROCESS_SERVICE_DEF_DIR"],
  ] as const) {
    const broker = await world.startBroker([], { env });
    const { values } = await askJson<{ values: Config }>(broker.endpoint, { verb: AdminVerb.CONFIG });
    assert.deepEqual(values.paths?.service_definition_dir, { value: path, source });
    assert.equal((await broker.stop()).code, 0);
  }
});
