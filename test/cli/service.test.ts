import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import {
  decodeServiceDefinition,
  encodeServiceDefinition,
  type ServiceDefinition,
} from "../../src/model/service-definition.ts";
import { type Cli, createCli } from "./support/cli.ts";

interface Stage extends Cli {
  readonly binary: string;
  /** Where the definition of `name` is. */
  file(name: string): string;
  stored(name: string): ServiceDefinition;
}

function program(path: string, text = "#!/bin/sh\nexit 0\n"): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  chmodSync(path, 0o755);
  return path;
}

/** With version 1.2.0 of one program installed. */
function stage(t: TestContext): Stage {
  const cli = createCli(t);
  program(join(cli.root, "opt/1.2.0/bin/demod"));
  const file = (name: string): string => join(cli.root, "config/running-process/services", `${name}.servicedef`);
  return {
    ...cli,
    file,
    binary: join(cli.root, "opt/{version}/bin/demod"),
    stored: (name) => decodeServiceDefinition(readFileSync(file(name)), name),
  };
}

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

test("what show --toml prints defines the same service again, from a file or the standard input", async (t) => {
  const at = stage(t);
  await at.rpb(["service", "add", "demo", "--binary", at.binary, "--arg", "x", "--env", "A=b", "--label", "team=x"]);
  const bytes = encodeServiceDefinition(at.stored("demo"));
  const toml = (await at.rpb(["service", "show", "demo", "--toml"])).out;
  assert.match((await at.rpb(["service", "add", "-f", "-"], { input: toml })).out, /^unchanged demo/);
  await at.rpb(["service", "remove", "demo"]);
  writeFileSync(join(at.root, "demo.toml"), toml);
  assert.match((await at.rpb(["service", "add", "-f", "demo.toml"])).out, /^added demo/);
  assert.deepEqual(encodeServiceDefinition(at.stored("demo")), bytes);
  // The form for people is TOML too, with comments.
  const shown = (await at.rpb(["service", "show", "demo"])).out;
  assert.match((await at.rpb(["service", "add", "-f", "-"], { input: shown })).out, /^unchanged demo/);
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

test("list shows broken definitions beside good ones", async (t) => {
  const at = stage(t);
  assert.deepEqual(await at.rpb(["service", "list"]), {
    code: 0,
    out: `no services in ${dirname(at.file("x"))}\n`,
    err: "",
  });
  await at.rpb(["service", "add", "demo", "--binary", at.binary, "--isolation", "shared"]);
  writeFileSync(at.file("broken"), "\xff\xff");
  const text = await at.rpb(["service", "list"]);
  assert.equal(text.code, 0);
  assert.match(text.out, /\nbroken +- +\[DEFINITION_MALFORMED\]/);
  assert.match(text.out, /\ndemo +shared +\/.*demod\n/);
  const { services } = JSON.parse((await at.rpb(["service", "list", "--json"])).out);
  assert.equal(services[0].error.code, "DEFINITION_MALFORMED");
  assert.deepEqual(
    [services[1].name, services[1].binary, services[1].broker, services[1].exec.bind],
    ["demo", at.binary, "shared", "broker"],
  );
});

test("remove removes once", async (t) => {
  const at = stage(t);
  await at.rpb(["service", "add", "demo", "--binary", at.binary]);
  assert.equal((await at.rpb(["service", "remove", "demo"])).code, 0);
  assert.ok(!existsSync(at.file("demo")));
  const again = await at.rpb(["service", "remove", "demo"]);
  assert.equal(again.code, 78);
  assert.match(again.err, /^rpb: \[DEFINITION_NOT_FOUND\]/);
});

test("a directory that is open to others is refused by every verb", async (t) => {
  const at = stage(t);
  await at.rpb(["service", "add", "demo", "--binary", at.binary]);
  chmodSync(dirname(at.file("demo")), 0o755);
  for (const args of [
    ["add", "demo", "--binary", at.binary],
    ["list"],
    ["show", "demo"],
    ["check", "demo"],
    ["remove", "demo"],
  ]) {
    const result = await at.rpb(["service", ...args]);
    assert.equal(result.code, 77, args[0]);
    assert.match(result.err, /\[DIRECTORY_INSECURE\].*chmod 700/);
  }
});

test("check looks at what a launch would look at", async (t) => {
  const at = stage(t);
  await at.rpb(["service", "add", "demo", "--binary", at.binary]);
  assert.deepEqual(await at.rpb(["service", "check", "demo"]), {
    code: 0,
    out: "demo would launch (looked at 1.2.0)\n",
    err: "",
  });
  assert.deepEqual(await at.rpb(["service", "check", "demo", "--version", "1.2.0"]), {
    code: 0,
    out: "demo would launch (looked at 1.2.0)\n",
    err: "",
  });

  program(join(at.root, "opt/2.0.0/bin/demod"), "#!/nowhere/sh\n");
  program(join(at.root, "elsewhere/demod"));
  mkdirSync(join(at.root, "opt/3.0.0/bin"), { recursive: true });
  symlinkSync(join(at.root, "elsewhere/demod"), join(at.root, "opt/3.0.0/bin/demod"));
  mkdirSync(join(at.root, "opt/4.0.0/bin"), { recursive: true });
  writeFileSync(join(at.root, "opt/4.0.0/bin/demod"), "not executable");
  for (const [version, check, text] of [
    ["2.0.0", "interpreter", /names the interpreter "\/nowhere\/sh", which cannot be run: ENOENT/],
    ["3.0.0", "binary", /is outside per-version root/],
    ["4.0.0", "binary", /is not executable: EACCES/],
    ["9.9.9", "binary", /could not be canonicalized: ENOENT/],
  ] as const) {
    const result = await at.rpb(["service", "check", "demo", "--version", version, "--json"]);
    assert.equal(result.code, 78, version);
    const { findings } = JSON.parse(result.out);
    assert.equal(findings.length, 1, version);
    assert.deepEqual([findings[0].severity, findings[0].check], ["error", check], version);
    assert.match(findings[0].text, text);
  }
  const all = await at.rpb(["service", "check", "demo"]);
  assert.equal(all.code, 78);
  assert.match(all.out, /demo would not launch \(looked at 1\.2\.0, 2\.0\.0, 3\.0\.0, 4\.0\.0\): 3 errors\n$/);
});

test("check knows version rules, working directory, socket lengths and labels", async (t) => {
  const at = stage(t);
  await at.rpb([
    "service",
    "add",
    "demo",
    "--binary",
    at.binary,
    "--min-version",
    "1.2.0",
    "--cwd",
    "/nowhere",
    "--label",
    "exec.arg=x",
    "--label",
    "team=x",
  ]);
  const below = JSON.parse((await at.rpb(["service", "check", "demo", "--version", "1.0.0", "--json"])).out);
  assert.deepEqual(
    below.findings.map(({ severity, check }: { severity: string; check: string }) => `${severity} ${check}`),
    ["error version", "error cwd", "warning label"],
  );
  const checkedIn = (directory: string) =>
    at.rpb(["service", "check", "demo", "--version", "1.2.0"], { env: { XDG_RUNTIME_DIR: directory } });
  assert.doesNotMatch((await checkedIn(`/tmp/${"x".repeat(80)}`)).out, /endpoint:/);
  assert.match((await checkedIn("relative")).out, /^error +endpoint: XDG_RUNTIME_DIR is not an absolute path/m);
  const label = ["--label", `handoff.endpoint={endpoint}${"h".repeat(60)}`];
  await at.rpb(["service", "add", "demo", "--binary", at.binary, "--min-version", "1.2.0", "--force", ...label]);
  const long = await checkedIn("/tmp");
  assert.equal(long.code, 78);
  assert.match(
    long.out,
    /^error +endpoint: socket path has \d+ bytes, .* holds 107: .*from the label handoff.endpoint/m,
  );
  assert.equal((await at.rpb(["service", "check", "demo", "--version", "1.2"])).code, 78);
  assert.equal((await at.rpb(["service", "check", "none"])).code, 78);
});

test("check of a binary without a version in its path looks at that one", async (t) => {
  const at = stage(t);
  await at.rpb(["service", "add", "demo", "--binary", "opt/1.2.0/bin/demod", "--min-version", "3.0.0"]);
  assert.deepEqual(await at.rpb(["service", "check", "demo"]), {
    code: 0,
    out: "demo would launch (looked at one binary for all versions)\n",
    err: "",
  });
  await at.rpb(["service", "add", "demo", "--binary", "opt/1.2.0/bin/none", "--force"]);
  const gone = await at.rpb(["service", "check", "demo"]);
  assert.equal(gone.code, 78);
  assert.match(gone.out, /^error +binary: .*ENOENT\ndemo would not launch/);
});

test("check without any installed version says so and is no failure", async (t) => {
  const at = stage(t);
  const add = await at.rpb(["service", "add", "demo", "--binary", join(at.root, "empty/{version}/demod")]);
  assert.match(add.err, /^note: no version is installed/);
  const result = await at.rpb(["service", "check", "demo"]);
  assert.equal(result.code, 0);
  assert.match(result.out, /^warning +version: no version is installed where .*\ndemo: no version was looked at\n$/);
});
