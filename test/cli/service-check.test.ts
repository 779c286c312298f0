import assert from "node:assert/strict";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { program, stage } from "./support/service-stage.ts";

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
