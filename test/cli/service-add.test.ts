import assert from "node:assert/strict";
import { existsSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { program, stage } from "./support/service-stage.ts";

test("add writes every flag into a private file", async (t) => {
  const at = stage(t);
  program(join(at.root, "opt/1.3.0-rc.1/bin/demod"));
  const flags = [
    ...[
      "--isolation",
      "explicit:ci",
      "--min-version",
      "1.0.0",
      "--allow-version",
      "1.2.0",
      "--allow-version",
      "1.3.0-rc.1",
    ],
    ...[
      "--arg",
      "a",
      "--arg=--b",
      "--env",
      "A=1",
      "--env",
      "B=x=y",
      "--cwd",
      "/",
      "--bind",
      "broker",
      "--ready",
      "listen",
    ],
    ...["--nonblocking", "--ready-timeout", "3s", "--stop-timeout", "2s", "--label", "team=x"],
  ];
  const result = await at.rpb(["service", "add", "demo", "--binary", at.binary, ...flags]);
  assert.deepEqual(result, { code: 0, out: `added demo: ${at.file("demo")}\n`, err: "" });
  assert.equal(statSync(at.file("demo")).mode & 0o777, 0o600);
  const { exec, handoff, labels, ...definition } = at.stored("demo");
  assert.deepEqual(definition, {
    serviceName: "demo",
    binaryPath: at.binary,
    perVersionBinaryDir: join(at.root, "opt"),
    isolation: "explicit",
    explicitInstance: "ci",
    minVersion: "1.0.0",
    versionAllowList: ["1.2.0", "1.3.0-rc.1"],
  });
  assert.equal(labels.team, "x");
  assert.deepEqual(exec.args, ["a", "--b"]);
  assert.deepEqual(exec.env, { A: "1", B: "x=y" });
  assert.equal(exec.nonBlocking, true);
  assert.deepEqual([exec.bind, exec.ready, exec.readyTimeoutMs, exec.stopTimeoutMs], ["broker", "listen", 3000, 2000]);
});

test("add takes relative paths from where it runs and writes bind = broker", async (t) => {
  const at = stage(t);
  assert.equal((await at.rpb(["service", "add", "demo", "--binary", "opt/1.2.0/bin/demod"])).code, 0);
  const definition = at.stored("demo");
  assert.equal(definition.binaryPath, join(at.root, "opt/1.2.0/bin/demod"));
  assert.equal(definition.perVersionBinaryDir, join(at.root, "opt/1.2.0/bin"));
  assert.equal(definition.labels["exec.bind"], "broker");
});

test("add of the same definition changes nothing; of another one it says the difference and needs --force", async (t) => {
  const at = stage(t);
  const add = ["service", "add", "demo", "--binary", at.binary];
  await at.rpb(add);
  const before = statSync(at.file("demo")).ino;
  assert.match((await at.rpb(add)).out, /^unchanged demo/);
  assert.equal(statSync(at.file("demo")).ino, before);
  const refused = await at.rpb([...add, "--min-version", "1.0.0"]);
  assert.equal(refused.code, 2);
  assert.match(refused.err, /^rpb: \[OPTION_INVALID\] .*\(minVersion: {2}-> 1\.0\.0\); replace it with --force\n$/);
  assert.equal(at.stored("demo").minVersion, "");
  assert.match((await at.rpb([...add, "--min-version", "1.0.0", "--force"])).out, /^replaced demo/);
  assert.equal(at.stored("demo").minVersion, "1.0.0");
});

test("a broken definition is replaced by force only", async (t) => {
  const at = stage(t);
  const add = ["service", "add", "demo", "--binary", at.binary];
  await at.rpb(add);
  writeFileSync(at.file("demo"), "\xff\xff");
  assert.equal((await at.rpb(add)).code, 78);
  assert.match((await at.rpb([...add, "--force"])).out, /^replaced demo/);
  assert.equal(at.stored("demo").serviceName, "demo");
});

test("wrong uses of add are usage errors that say what to write", async (t) => {
  const at = stage(t);
  writeFileSync(join(at.root, "demo.toml"), `name = "demo"\nbinary = "${at.binary}"\n`);
  for (const [args, text] of [
    [[], "name the service: rpb service add <name> --binary <path>"],
    [["demo"], "say what to launch: rpb service add demo --binary <path>"],
    [
      ["demo", "--binary", "x", "--isolation", "none"],
      '--isolation is "none", expected private, shared or explicit:NAME',
    ],
    [["demo", "--binary", "x", "--bind", "me"], "Allowed choices are broker, backend"],
    [["demo", "--binary", "x", "--env", "A"], "Write NAME=value"],
    [["demo", "--binary", "x", "--env", "A=1", "--env", "A=2"], "A is given twice"],
    [["-f", "demo.toml", "--arg", "x"], "with --file everything comes from the file"],
    [["other", "-f", "demo.toml"], 'the file defines "demo", not "other"'],
    [["-f", "none.toml"], "there is no file"],
    [["demo", "--binry", "x"], "(Did you mean --binary?)"],
  ] as const) {
    const result = await at.rpb(["service", "add", ...args]);
    assert.equal(result.code, 2, args.join(" "));
    assert.ok(result.err.includes(text), `${args.join(" ")}: ${result.err}`);
    assert.equal(result.out, "");
  }
  assert.ok(!existsSync(at.file("demo")));
});

test("errors of the definition itself are configuration errors, as JSON when asked", async (t) => {
  const at = stage(t);
  const bad = await at.rpb(["service", "add", "Demo", "--binary", "x"]);
  assert.deepEqual([bad.code, bad.out], [78, ""]);
  const json = await at.rpb([
    "service",
    "add",
    "demo",
    "--binary",
    "x",
    "--ready",
    "listen",
    "--bind",
    "backend",
    "--json",
  ]);
  assert.equal(json.code, 78);
  const { error } = JSON.parse(json.out);
  assert.deepEqual(
    [error.code, error.exit, error.retry, error.check],
    ["DEFINITION_INVALID", 78, "never", "exec.ready"],
  );
  assert.match(json.err, /^rpb: \[DEFINITION_INVALID\]/);
});
