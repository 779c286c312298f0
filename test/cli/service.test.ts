/** The verbs `show`, `list` and `remove` of `rpb service`, and what holds for all of its verbs. */
import assert from "node:assert/strict";
import { chmodSync, existsSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { encodeServiceDefinition } from "../../src/model/service-definition.ts";
import { stage } from "./support/service-stage.ts";

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
