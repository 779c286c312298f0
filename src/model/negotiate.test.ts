import assert from "node:assert/strict";
import test from "node:test";
import { completeMessage } from "../../test/support/complete-message.ts";
import { type Hello, HelloSchema } from "../wire/messages.ts";
import type { Init } from "../wire/schema.ts";
import { checkHelloShape, checkVersionPolicy } from "./negotiate.ts";
import { createServiceDefinition } from "./service-definition.ts";

const GOOD: Init<Hello> = {
  clientMinProtocol: 1,
  clientMaxProtocol: 1,
  serviceName: "svc",
  wantedVersion: "1.0.0",
};

function shape(changes: Init<Hello>, peerPid = 0): [string, string] | undefined {
  const refusal = checkHelloShape(completeMessage(HelloSchema, { ...GOOD, ...changes }), peerPid);
  assert.equal(refusal?.retryAfterMs ?? 0, 0);
  return refusal && [refusal.code, refusal.reason];
}

test("a Hello that is as it should be passes, at the edge of every limit too", () => {
  assert.equal(shape({}), undefined);
  assert.equal(shape({ clientMinProtocol: 0, clientMaxProtocol: 4_294_967_295 }), undefined);
  assert.equal(shape({ serviceName: "x".repeat(64), wantedVersion: `1.0.0-${"a".repeat(58)}` }), undefined);
  assert.equal(
    shape({ clientVersion: "é".repeat(64), clientLibName: "n".repeat(64), clientLibVersion: "v".repeat(64) }),
    undefined,
  );
});

test("each fault has its frozen code and text", () => {
  const rows: [Init<Hello>, string, string][] = [
    [
      { clientMinProtocol: 2, clientMaxProtocol: 3 },
      "VERSION_UNSUPPORTED",
      "client protocol range does not include v1",
    ],
    [
      { clientMinProtocol: 0, clientMaxProtocol: 0 },
      "VERSION_UNSUPPORTED",
      "client protocol range does not include v1",
    ],
    [{ serviceName: "" }, "PEER_REJECTED", "invalid service_name"],
    [{ serviceName: "../svc" }, "PEER_REJECTED", "invalid service_name"],
    [{ serviceName: "x".repeat(65) }, "PEER_REJECTED", "invalid service_name"],
    [{ wantedVersion: "" }, "PEER_REJECTED", "invalid wanted_version"],
    [{ wantedVersion: "1.0" }, "PEER_REJECTED", "invalid wanted_version"],
    [{ wantedVersion: "1.0.0/../.." }, "PEER_REJECTED", "invalid wanted_version"],
    [{ wantedVersion: `1.0.0-${"a".repeat(59)}` }, "PEER_REJECTED", "invalid wanted_version"],
    [{ clientVersion: "é".repeat(65) }, "PEER_REJECTED", "client_version exceeds 128 bytes"],
    [{ clientLibName: "n".repeat(65) }, "PEER_REJECTED", "client_lib fields exceed 64 bytes"],
    [{ clientLibVersion: "v".repeat(65) }, "PEER_REJECTED", "client_lib fields exceed 64 bytes"],
  ];
  for (const [changes, code, reason] of rows) assert.deepEqual(shape(changes), [code, reason], JSON.stringify(changes));
});

test("the pid a peer gives itself must be the kernel's, where both say one", () => {
  assert.deepEqual(shape({ peerPid: 7 }, 8), ["PEER_REJECTED", "peer_pid does not match verified peer"]);
  assert.equal(shape({ peerPid: 8 }, 8), undefined);
  assert.equal(shape({ peerPid: 7 }, 0), undefined);
  assert.equal(shape({ peerPid: 0 }, 8), undefined);
});

test("of several faults the first in the order of the spec is told", () => {
  const all = {
    clientMinProtocol: 2,
    clientMaxProtocol: 2,
    serviceName: "",
    wantedVersion: "",
    clientVersion: "x".repeat(129),
    clientLibName: "x".repeat(65),
    peerPid: 1,
  };
  const order: [keyof typeof all | "clientMinProtocol", string][] = [
    ["clientMinProtocol", "client protocol range does not include v1"],
    ["serviceName", "invalid service_name"],
    ["wantedVersion", "invalid wanted_version"],
    ["clientVersion", "client_version exceeds 128 bytes"],
    ["clientLibName", "client_lib fields exceed 64 bytes"],
    ["peerPid", "peer_pid does not match verified peer"],
  ];
  let bad: Init<Hello> = all;
  for (const [field, reason] of order) {
    assert.equal(shape(bad, 2)?.[1], reason);
    const { [field]: _, ...others } = bad;
    bad = { ...others, ...(field in GOOD && { [field]: GOOD[field as keyof typeof GOOD] }), clientMaxProtocol: 1 };
  }
  assert.equal(shape(bad, 2), undefined);
});

test("a version that the definition blocks is refused with the frozen hint, the floor before the list", () => {
  const definition = createServiceDefinition({
    serviceName: "svc",
    binaryPath: "/bin/svc",
    minVersion: "1.2.0",
    versionAllowList: ["1.2.0", "1.3.0"],
  });
  const verdict = (version: string): unknown => {
    const refusal = checkVersionPolicy(definition, version);
    return refusal && [refusal.code, refusal.reason, refusal.retryAfterMs];
  };
  assert.equal(verdict("1.3.0"), undefined);
  assert.deepEqual(verdict("1.1.9"), ["VERSION_BLOCKED", "wanted_version is below min_version", 30_000]);
  assert.deepEqual(verdict("1.2.1"), ["VERSION_BLOCKED", "wanted_version is not in version_allow_list", 30_000]);
});
