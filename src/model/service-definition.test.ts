import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { type BrokerErrorCode, hasCode } from "../base/errors.ts";
import { encodeMessage } from "../wire/codec.ts";
import { BrokerIsolation, type ServiceDefinition, ServiceDefinitionSchema } from "../wire/messages.ts";
import type { Init } from "../wire/schema.ts";
import { parseHandoffSettings } from "./exec-settings.ts";
import {
  binaryPathFor,
  createServiceDefinition,
  decodeServiceDefinition,
  encodeServiceDefinition,
  instanceOf,
  type ServiceDefinitionInit,
} from "./service-definition.ts";

const MINIMAL = { serviceName: "svc", binaryPath: "/opt/svc" };
const FULL: ServiceDefinitionInit = {
  serviceName: "svc",
  binaryPath: "/opt/{version}/svc",
  isolation: "explicit",
  explicitInstance: "ci",
  perVersionBinaryDir: "/opt",
  minVersion: "1.0.0",
  versionAllowList: ["1.0.0", "1.1.0-rc.1"],
  labels: { z: "1", "exec.bind": "broker", a: "" },
};

describe("the golden file", () => {
  const vectors = JSON.parse(
    readFileSync(new URL("../../test/fixtures/golden-vectors.json", import.meta.url), "utf8"),
  ) as { name: string; hex: string }[];
  const hex = vectors.find((vector) => vector.name === "derived_servicedef_file")?.hex ?? "";

  test("is read as it was meant, and written back byte for byte", () => {
    const definition = decodeServiceDefinition(Buffer.from(hex, "hex"), "zccache");
    assert.deepEqual(
      { ...definition, exec: undefined, handoff: undefined },
      {
        serviceName: "zccache",
        binaryPath: "/usr/local/bin/zccache",
        isolation: "shared",
        explicitInstance: "",
        perVersionBinaryDir: "",
        minVersion: "1.10.0",
        versionAllowList: ["1.11.20"],
        labels: {},
        exec: undefined,
        handoff: undefined,
      },
    );
    assert.equal(Buffer.from(encodeServiceDefinition(definition)).toString("hex"), hex);
  });
});

describe("a definition", () => {
  test("comes back from its bytes with everything in it", () => {
    const definition = createServiceDefinition(FULL);
    assert.deepEqual(decodeServiceDefinition(encodeServiceDefinition(definition), "svc"), definition);
    assert.equal(definition.exec.bind, "broker");
  });

  test("is private, open to every version and not launchable unless it says more", () => {
    const { exec, handoff, ...rest } = createServiceDefinition(MINIMAL);
    assert.deepEqual(rest, {
      ...MINIMAL,
      isolation: "private",
      explicitInstance: "",
      perVersionBinaryDir: "",
      minVersion: "",
      versionAllowList: [],
      labels: {},
    });
    assert.equal(exec.bind, "backend");
    assert.deepEqual(handoff, parseHandoffSettings({}));
  });

  test("has the same bytes in whatever order its labels were given", () => {
    const reversed = Object.fromEntries(Object.entries(FULL.labels ?? {}).reverse());
    assert.deepEqual(
      encodeServiceDefinition(createServiceDefinition({ ...FULL, labels: reversed })),
      encodeServiceDefinition(createServiceDefinition(FULL)),
    );
  });

  test("does not change when what it was made from does", () => {
    const init = { ...MINIMAL, versionAllowList: ["1.0.0"], labels: { a: "1" } };
    const definition = createServiceDefinition(init);
    init.versionAllowList.push("2.0.0");
    init.labels.a = "2";
    assert.deepEqual([definition.versionAllowList, definition.labels], [["1.0.0"], { a: "1" }]);
  });

  test("names the instance that serves it", () => {
    assert.deepEqual(instanceOf(createServiceDefinition({ ...MINIMAL, isolation: "shared" })), { kind: "shared" });
    assert.deepEqual(instanceOf(createServiceDefinition(MINIMAL)), { kind: "private", service: "svc" });
    assert.deepEqual(instanceOf(createServiceDefinition(FULL)), { kind: "explicit", name: "ci" });
  });

  test("puts the version into its binary path, wherever it is asked for", () => {
    const definition = createServiceDefinition({ ...MINIMAL, binaryPath: "/opt/{version}/svc-{version}" });
    assert.equal(binaryPathFor(definition, "1.2.3-rc.1"), "/opt/1.2.3-rc.1/svc-1.2.3-rc.1");
    assert.equal(binaryPathFor(createServiceDefinition(MINIMAL), "1.2.3"), "/opt/svc");
  });
});

/** What can be wrong, in the order in which it is judged; the wire form, because only there isolation can be unknown. */
const RULES: readonly {
  readonly name: string;
  readonly wrong: Init<ServiceDefinition>;
  readonly code: BrokerErrorCode;
  readonly message: RegExp;
  readonly check?: string;
}[] = [
  { name: "its name", wrong: { serviceName: "Svc" }, code: "NAME_INVALID", message: /service name "Svc"/ },
  {
    name: "whose it is",
    wrong: { serviceName: "other" },
    code: "DEFINITION_INVALID",
    message: /requested "svc" but file declares "other"/,
    check: "service_name",
  },
  {
    name: "its binary path",
    wrong: { binaryPath: "" },
    code: "DEFINITION_INVALID",
    message: /binary_path .*must not be empty/,
    check: "binary_path",
  },
  {
    name: "its allow root",
    wrong: { perVersionBinaryDir: "opt" },
    code: "DEFINITION_INVALID",
    message: /per_version_binary_dir .*must be absolute/,
    check: "per_version_binary_dir",
  },
  { name: "its floor", wrong: { minVersion: "1.0" }, code: "VERSION_INVALID", message: /min_version "1\.0"/ },
  {
    name: "its allow-list",
    wrong: { versionAllowList: ["1.0.0", "v2"] },
    code: "VERSION_INVALID",
    message: /version_allow_list entry "v2"/,
  },
  {
    name: "its isolation",
    wrong: { isolation: 9 as BrokerIsolation },
    code: "DEFINITION_INVALID",
    message: /unknown value 9/,
    check: "isolation",
  },
  {
    name: "its labels",
    wrong: { labels: { "exec.bind": "x" } },
    code: "DEFINITION_INVALID",
    message: /exec\.bind/,
    check: "exec.bind",
  },
  {
    name: "its handoff labels",
    wrong: { labels: { "handoff.enabled": "yes" } },
    code: "DEFINITION_INVALID",
    message: /handoff\.enabled/,
    check: "handoff.enabled",
  },
];

describe("a definition is refused for", () => {
  for (const [index, rule] of RULES.entries()) {
    test(`${rule.name}, before everything behind it`, () => {
      const allBehind = Object.assign({}, ...RULES.slice(index).map((later) => later.wrong), rule.wrong);
      for (const wrong of [rule.wrong, allBehind]) {
        const bytes = encodeMessage(ServiceDefinitionSchema, { ...MINIMAL, ...wrong });
        assert.throws(
          () => decodeServiceDefinition(bytes, "svc"),
          (error) => {
            assert.ok(hasCode(error, rule.code), String(error));
            assert.match(error.message, rule.message);
            if (rule.check !== undefined) assert.equal(error.details.check, rule.check);
            return true;
          },
        );
      }
    });
  }

  test("the requested name, before its own", () => {
    const bytes = encodeMessage(ServiceDefinitionSchema, { ...MINIMAL, serviceName: "Also-Bad" });
    assert.throws(
      () => decodeServiceDefinition(bytes, "../x"),
      (error) => hasCode(error, "NAME_INVALID") && error.message.includes("../x"),
    );
  });

  test("a path that is relative, or holds what no path may hold", () => {
    for (const binaryPath of ["svc", "./svc", "C:\\svc", "/opt/\0svc"]) {
      assert.throws(
        () => createServiceDefinition({ ...MINIMAL, binaryPath }),
        (error) => hasCode(error, "DEFINITION_INVALID") && /must be absolute/.test(error.message),
        binaryPath,
      );
    }
  });

  test("an instance name without explicit isolation, and the other way round", () => {
    for (const [isolation, explicitInstance, code] of [
      ["private", "ci", "DEFINITION_INVALID"],
      ["shared", "ci", "DEFINITION_INVALID"],
      ["explicit", "", "DEFINITION_INVALID"],
      ["explicit", "CI", "NAME_INVALID"],
    ] as const) {
      assert.throws(
        () => createServiceDefinition({ ...MINIMAL, isolation, explicitInstance }),
        (error) => hasCode(error, code),
        isolation,
      );
    }
  });

  test("bytes that are no message", () => {
    assert.throws(
      () => decodeServiceDefinition(Buffer.from("ffff", "hex")),
      (error) => hasCode(error, "MESSAGE_MALFORMED"),
    );
  });
});

test("the wire numbers of isolation are the frozen ones", () => {
  for (const [isolation, number] of [
    ["private", 0],
    ["shared", 1],
    ["explicit", 2],
  ] as const) {
    const explicitInstance = isolation === "explicit" ? "ci" : "";
    const bytes = encodeServiceDefinition(createServiceDefinition({ ...MINIMAL, isolation, explicitInstance }));
    const raw = encodeMessage(ServiceDefinitionSchema, {
      ...MINIMAL,
      isolation: number as BrokerIsolation,
      explicitInstance,
    });
    assert.deepEqual(bytes, raw);
  }
  assert.equal(BrokerIsolation.EXPLICIT_INSTANCE, 2);
});
