/** The DIAGNOSE verb writes a real archive, without secrets (spec: admin §3.6). */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { AdminVerb } from "../../../src/wire/messages.ts";
import { createLaunching, type Launching } from "../../support/launching.ts";
import { parseStrictly } from "../../support/open-metrics-parser.ts";
import { modeOf } from "../../support/world.ts";
import { askJson } from "./support/asking.ts";

interface Body {
  readonly output: string;
  readonly bundle: {
    readonly created: boolean;
    readonly size_bytes?: number;
    readonly entries: readonly Record<string, unknown>[];
  };
  readonly files: readonly string[];
  readonly error?: { readonly code: string; readonly message: string };
}

const ENTRIES = [
  ["admin/status.json", "json", "status", true, false],
  ["admin/dump.json", "json", "dump", true, true],
  ["config/effective.json", "json", "effective-config", true, false],
  ["metrics/openmetrics.txt", "openmetrics", "metrics", true, false],
  ["events/lifecycle.jsonl", "jsonl", "lifecycle-events", false, true],
  ["manifest/backend-manifests.json", "json", "backend-manifest-index", false, true],
  ["process/backends.json", "json", "backend-table", true, true],
  ["system/summary.json", "json", "host-summary", false, true],
] as const;

const SECRET = "tr0ub4dor-and-3";
const PRINTED = "printed-by-the-backend";

/** A broker with a backend that runs and one that fails, both with things to hide. */
async function createSecretive(t: TestContext): Promise<Launching> {
  const launching = await createLaunching(t, { MY_API_TOKEN: SECRET, RUNNING_PROCESS_TEST_PASSWORD: `x${SECRET}` });
  const { world } = launching;
  world.define({ serviceName: "svc", binary: "obeys.mjs", labels: { "exec.env.DB_PASSWORD": SECRET } });
  const path = join(world.root, "bin/bad");
  writeFileSync(path, `#!/bin/sh\necho "SESSION=${PRINTED} $MY_API_TOKEN" >&2\nexit 3\n`);
  chmodSync(path, 0o755);
  world.define({ serviceName: "bad", binaryPath: path });
  await launching.negotiated("svc");
  assert.match((await launching.refused("bad")).reason, new RegExp(`SESSION=${PRINTED} ${SECRET}`));
  return launching;
}

function diagnose(launching: Launching, outputPath: string, exitCode = 0): Promise<Body> {
  return askJson<Body>(launching.broker.endpoint, { verb: AdminVerb.DIAGNOSE, outputPath }, exitCode);
}

/** Unpacked by the system's own tar. */
function unpack(launching: Launching, archive: string): { names: string[]; read: (name: string) => string } {
  const names = execFileSync("tar", ["-tzf", archive], { encoding: "utf8" }).trimEnd().split("\n");
  const directory = join(launching.world.root, "unpacked");
  mkdirSync(directory);
  execFileSync("tar", ["-xzf", archive, "-C", directory]);
  return { names, read: (name) => readFileSync(join(directory, name), "utf8") };
}

test("the archive holds the entries that the reply lists, each of which is what it says", async (t) => {
  const launching = await createSecretive(t);
  const { world, broker } = launching;
  const output = join(world.root, "b.tar.gz");
  const { bundle, files, ...head } = await diagnose(launching, output);
  assert.equal(head.output, output);
  assert.deepEqual(
    bundle.entries.map(({ path, kind, source, required, redacted }) => [path, kind, source, required, redacted]),
    ENTRIES,
  );
  assert.deepEqual(
    bundle.entries.map(({ record_count }) => record_count).filter((count) => count !== undefined),
    [1],
  );
  assert.deepEqual([bundle.created, bundle.size_bytes], [true, readFileSync(output).length]);
  assert.equal(modeOf(output), 0o600);

  const { names, read } = unpack(launching, output);
  assert.deepEqual(names, files);
  assert.deepEqual(
    names,
    ENTRIES.map(([path]) => path),
  );
  assert.deepEqual(
    bundle.entries.map(({ size_bytes }) => size_bytes),
    names.map((name) => read(name).length),
  );
  const pid = launching.pids("svc")[0];
  assert.equal(JSON.parse(read("admin/status.json")).broker_pid, broker.pid);
  assert.equal(JSON.parse(read("admin/dump.json")).backend_table[0].pid, pid);
  assert.equal(JSON.parse(read("config/effective.json")).values.broker.broker_pid.value, broker.pid);
  parseStrictly(read("metrics/openmetrics.txt"), { frozenCounterNames: true });
  const events = read("events/lifecycle.jsonl")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line).extra?.type);
  assert.ok(events.includes("broker-started") && events.includes("hello-refused"));
  assert.deepEqual(JSON.parse(read("manifest/backend-manifests.json")).files, []);
  assert.equal(JSON.parse(read("process/backends.json")).backends[0].pid, pid);
  assert.equal(JSON.parse(read("system/summary.json")).os, "linux");
});

test("no secret, no home directory and no output of a backend is in it", async (t) => {
  const launching = await createSecretive(t);
  const output = join(launching.world.root, "b.tar.gz");
  await diagnose(launching, output);
  const { names, read } = unpack(launching, output);
  for (const name of names) {
    const content = read(name);
    for (const hidden of [SECRET, PRINTED, launching.world.root])
      assert.ok(!content.includes(hidden), `${name}: ${hidden}`);
  }
  // They were there to be taken out.
  assert.match(read("admin/dump.json"), /"~\/bin\/obeys\.mjs"/);
  assert.match(read("events/lifecycle.jsonl"), /"code":"PROCESS_EXITED"/);
  assert.match(read("system/summary.json"), /"RUNNING_PROCESS_TEST_PASSWORD",\s+"value": "\[redacted\]"/);
});

// The last words of a crash were in status.json, and those of a failed launch in the reason of the next one.
test("whatever a backend printed or a definition holds is in no entry", async (t) => {
  const launching = await createLaunching(t, {
    DATABASE_URL: "postgres://u:hidden-0@db",
    RUNNING_PROCESS_NOTE: "hidden-1",
  });
  const { world, broker } = launching;
  const define = (serviceName: string, text: string, ready: string): void => {
    const binaryPath = join(world.root, "bin", serviceName);
    writeFileSync(binaryPath, text, { mode: 0o755 });
    const labels = {
      "exec.ready": ready,
      "exec.args": '["--pin","hidden-2"]',
      "exec.env.PIN": "hidden-3",
      "x.note": "hidden-4",
    };
    world.define({ serviceName, binaryPath, labels });
  };
  define(
    "fails",
    '#!/bin/sh\necho "last output: none" >&2\nprintf \'{"pin":"hidden-5"}\\nhidden-6\' >&2\nexit 3\n',
    "probe",
  );
  define("crashes", '#!/bin/sh\necho hidden-7 >&2\nread line\nsleep 1\necho "$0 hidden-8" >&2\nexit 7\n', "listen");
  await launching.refused("fails");
  await launching.refused("fails");
  await launching.negotiated("crashes");
  await broker.logged(/"type":"backend-crashed"/);
  await launching.hello("crashes");
  world.define({ serviceName: "fails", binary: "obeys.mjs", labels: { "exec.env.PIN": "hidden-9" } });
  await launching.negotiated("fails");
  const output = join(world.root, "b.tar.gz");
  await diagnose(launching, output);
  const { names, read } = unpack(launching, output);
  for (const name of names) assert.doesNotMatch(read(name), /hidden-\d/, name);
  assert.match(broker.log(), /hidden-6/);
  assert.match(broker.log(), /hidden-8/);
});

test("without a path, or with a relative one, it is written below the broker's directory of logs", async (t) => {
  const launching = await createLaunching(t);
  const { logs } = launching.world;
  for (const [asked, name] of [
    ["", "bundle.tar.gz"],
    ["mine.tgz", "mine.tgz"],
  ] as const) {
    assert.equal((await diagnose(launching, asked)).output, join(logs, name));
    assert.equal(modeOf(join(logs, name)), 0o600);
  }
  assert.equal(modeOf(logs), 0o700);
});

test("an older archive is replaced as a whole; nothing else is", async (t) => {
  const launching = await createLaunching(t);
  const { root } = launching.world;
  const output = join(root, "b.tar.gz");
  writeFileSync(output, "older", { mode: 0o644 });
  assert.equal((await diagnose(launching, output)).bundle.created, true);
  assert.equal(modeOf(output), 0o600);

  const target = join(root, "target");
  writeFileSync(target, "untouched");
  symlinkSync(target, join(root, "link"));
  mkdirSync(join(root, "directory"));
  for (const path of ["link", "directory"]) {
    const { bundle, error } = await diagnose(launching, join(root, path), 1);
    assert.deepEqual([bundle.created, error?.code], [false, "OPTION_INVALID"]);
  }
  assert.equal(readFileSync(target, "utf8"), "untouched");
});

test("where nothing can be written the reply says so and why, and nothing is left behind", async (t) => {
  const launching = await createLaunching(t);
  const { root } = launching.world;
  writeFileSync(join(root, "file"), "");
  const closed = process.getuid?.() === 0 ? "/proc" : join(root, "closed");
  if (closed !== "/proc") mkdirSync(closed, { mode: 0o500 });
  for (const [path, code] of [
    [join(root, "missing/b.tar.gz"), "IO_FAILED"],
    [join(root, "file/b.tar.gz"), "IO_FAILED"],
    [join(closed, "b.tar.gz"), "IO_FAILED"],
    ["a\0b", "OPTION_INVALID"],
  ] as const) {
    const { bundle, error, files } = await diagnose(launching, path, 1);
    assert.deepEqual([bundle.created, bundle.size_bytes, error?.code, files.length], [false, undefined, code, 8], path);
    assert.match(error?.message ?? "", /^no archive was written: /);
  }
  assert.deepEqual(
    readdirSync(root).filter((name) => name.includes(".tar.gz")),
    [],
  );
  assert.ok(!existsSync(join(root, "missing")));
});

test("archives that are asked for at the same time are all whole", async (t) => {
  const launching = await createLaunching(t);
  const output = join(launching.world.root, "b.tar.gz");
  const replies = await Promise.all(Array.from({ length: 8 }, () => diagnose(launching, output)));
  assert.deepEqual(
    replies.map(({ bundle }) => bundle.created),
    new Array(8).fill(true),
  );
  assert.equal(unpack(launching, output).names.length, 8);
});
