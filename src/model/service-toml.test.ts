import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { hasCode } from "../base/errors.ts";
import { defineService, draftOf, type ServiceDraft } from "./define-service.ts";
import { definitionDifferences } from "./definition-differences.ts";
import { encodeServiceDefinition } from "./service-definition.ts";
import { draftToJson, formatServiceToml, parseServiceToml } from "./service-toml.ts";

const FULL = `
name = "demo"
binary = "/opt/demo/{version}/bin/demo"
root = "/opt/demo"
isolation = "explicit"
instance = "ci"
min_version = "1.2.0"
versions = ["1.2.0", "2.0.0-rc.1"]

[exec]
args = ["--socket", "{endpoint}", "quote \\" and é"]
cwd = "/var/tmp"
bind = "backend"
ready = "connect"
nonblocking = true
ready_timeout = "30s"
stop_timeout = "500ms"

[exec.env]
NODE_ENV = "production"

[log]
max_bytes = 65536

[labels]
"team.owner" = "build tools"
`;

test("every key of the form arrives in the definition", () => {
  const definition = defineService(parseServiceToml(FULL));
  assert.equal(definition.serviceName, "demo");
  assert.equal(definition.binaryPath, "/opt/demo/{version}/bin/demo");
  assert.equal(definition.perVersionBinaryDir, "/opt/demo");
  assert.equal(definition.isolation, "explicit");
  assert.equal(definition.explicitInstance, "ci");
  assert.equal(definition.minVersion, "1.2.0");
  assert.deepEqual(definition.versionAllowList, ["1.2.0", "2.0.0-rc.1"]);
  assert.deepEqual(definition.exec, {
    args: ["--socket", "{endpoint}", 'quote " and é'],
    env: { NODE_ENV: "production" },
    cwd: "/var/tmp",
    bind: "backend",
    ready: "connect",
    nonBlocking: true,
    readyTimeoutMs: 30_000,
    stopTimeoutMs: 500,
    logMaxBytes: 65536,
  });
  assert.equal(definition.labels["team.owner"], "build tools");
});

test("a shown definition reads back as the same bytes", () => {
  const definition = defineService(parseServiceToml(FULL));
  const again = defineService(parseServiceToml(formatServiceToml(draftOf(definition))));
  assert.deepEqual(encodeServiceDefinition(again), encodeServiceDefinition(definition));
});

test("any definition that can be written reads back as one without a difference", () => {
  const word = fc.stringMatching(/^[a-z0-9-]{1,12}$/);
  const text = fc.string({ unit: "grapheme", maxLength: 12 }).map((s) => s.replaceAll("\0", ""));
  const draft = fc.record(
    {
      name: word,
      binary: text.map((s) => `/${s}`),
      root: text.map((s) => `/${s}`),
      versions: fc.array(fc.constantFrom("1.0.0", "2.10.3-rc.1")),
      exec: fc.record(
        {
          args: fc.array(text),
          env: fc.dictionary(fc.stringMatching(/^[A-Z_][A-Z0-9_]{0,6}$/), text),
          bind: fc.constantFrom("broker" as const, "backend" as const),
          nonBlocking: fc.boolean(),
          readyTimeout: fc.constantFrom("1s", "90s", "20ms"),
        },
        { requiredKeys: [] },
      ),
      log: fc.record({ maxBytes: fc.integer({ min: 4096, max: 1_000_000 }) }, { requiredKeys: [] }),
      labels: fc.dictionary(fc.stringMatching(/^x[a-z.]{1,8}$/), text),
    },
    { requiredKeys: ["name", "binary"] },
  );
  fc.assert(
    fc.property(draft, (value) => {
      const definition = defineService(value as ServiceDraft);
      const again = defineService(parseServiceToml(formatServiceToml(draftOf(definition))));
      assert.deepEqual(definitionDifferences(definition, again), []);
      assert.deepEqual(definitionDifferences(again, definition), []);
    }),
  );
});

test("the short form gets the defaults of our tools", () => {
  const definition = defineService(parseServiceToml('name = "demo"\nbinary = "/opt/demo/{version}/bin/demo"\n'));
  assert.equal(definition.perVersionBinaryDir, "/opt/demo");
  assert.equal(definition.isolation, "private");
  assert.equal(definition.labels["exec.bind"], "broker");
});

test("a syntax error says where it is", () => {
  assert.throws(
    () => parseServiceToml('name = "demo"\nbinary = /opt/x\n'),
    (error) =>
      hasCode(error, "DEFINITION_MALFORMED") &&
      /line 2, column \d+: \S/.test(error.message) &&
      !error.message.includes("\n"),
  );
});

test("what is wrong with a key is said with the key, what it holds and what it may hold", () => {
  const base = 'name = "demo"\nbinary = "/opt/demo"\n';
  for (const [toml, check, text] of [
    [`${base}min-version = "1.0.0"`, "min-version", "key min-version is unknown; did you mean min_version?"],
    [`${base}[exec]\nargz = []`, "exec.argz", "key exec.argz is unknown; did you mean exec.args?"],
    [`${base}ready_timeout = "3s"`, "ready_timeout", "key ready_timeout is unknown; did you mean exec.ready_timeout?"],
    [
      `${base}[exec]\nfrobnicate = 1`,
      "exec.frobnicate",
      "key exec.frobnicate is unknown; known keys here: args, cwd, bind, ready, nonblocking, ready_timeout, stop_timeout, env",
    ],
    ['binary = "/opt/demo"', "name", "key name is missing"],
    ['name = "demo"', "binary", "key binary is missing"],
    [`${base}versions = "1.0.0"`, "versions", 'key versions is "1.0.0", expected an array of strings'],
    [`${base}versions = [1]`, "versions", "key versions is [1], expected an array of strings"],
    [`${base}exec = 3`, "exec", "key exec is 3, expected a table"],
    [`${base}[exec.env]\nA = 1`, "exec.env", "key exec.env is a table, expected a table of strings"],
    [`${base}[log]\nmax_bytes = 1.5`, "log.max_bytes", "key log.max_bytes is 1.5, expected an integer"],
    [`${base}isolation = "none"`, "isolation", 'key isolation is "none", expected "private", "shared", "explicit"'],
    [
      `${base}[exec]\nnonblocking = "true"`,
      "exec.nonblocking",
      'key exec.nonblocking is "true", expected true or false',
    ],
    [`${base}[exec]\nbind = "me"`, "exec.bind", 'key exec.bind is "me", expected "broker", "backend"'],
    [
      `${base}toString = "x"`,
      "toString",
      "key toString is unknown; known keys here: name, binary, root, isolation, instance, min_version, versions, exec, log, labels",
    ],
  ] as const) {
    assert.throws(
      () => parseServiceToml(toml),
      (error) =>
        (hasCode(error, "DEFINITION_INVALID") && error.details.check === check && error.reason === text) ||
        assert.fail(String(error)),
      toml,
    );
  }
});

test("the JSON form has the keys of the TOML form", () => {
  assert.deepEqual(
    draftToJson({ name: "demo", binary: "/opt/demo", minVersion: "1.0.0", exec: { readyTimeout: "3s" } }),
    { name: "demo", binary: "/opt/demo", min_version: "1.0.0", exec: { ready_timeout: "3s" } },
  );
});
