import assert from "node:assert/strict";
import { test } from "node:test";
import { hasCode } from "../base/errors.ts";
import type { BackendIdentity } from "./identity.ts";
import { decodeIdentitySidecar, encodeIdentitySidecar, tryDecodeIdentitySidecar } from "./identity-sidecar.ts";

const IDENTITY: BackendIdentity = {
  pid: 4242,
  exePath: "/opt/t\u00f6ol/tool",
  sha256: Uint8Array.from({ length: 32 }, (_, index) => index),
  blake3: Uint8Array.from({ length: 32 }, (_, index) => 255 - index),
  endpoint: { namespaceId: "shared", path: "/run/tool.sock" },
  startedAtUnixMs: 1_700_000_000_123,
  bootId: "boot",
};

const OLD_KEYS = {
  pid: 1,
  exe_path: "/x",
  exe_sha256: Array(32).fill(7),
  boot_id: "b",
  ipc_endpoint: { namespace_id: "n", path: "p" },
  started_at_unix_ms: 5,
  idle_timeout_secs: null,
};

test("the first keys are those of the old generation in its order, pretty-printed, without a final newline", () => {
  const text = encodeIdentitySidecar(IDENTITY);
  assert.deepEqual(Object.keys(JSON.parse(text)), [...Object.keys(OLD_KEYS), "exe_hash_algorithm", "exe_hash"]);
  assert.ok(
    text.startsWith('{\n  "pid": 4242,\n  "exe_path": "/opt/t\u00f6ol/tool",\n  "exe_sha256": [\n    0,\n    1,\n'),
  );
  assert.ok(text.endsWith("\n  ]\n}"));
  assert.match(text, /"idle_timeout_secs": null,\n/);
});

test("what was written is read back, with and without the optional parts", () => {
  const { blake3, ...withoutBlake3 } = IDENTITY;
  const { sha256, ...withoutSha256 } = IDENTITY;
  assert.ok(blake3 && sha256);
  for (const identity of [IDENTITY, { ...IDENTITY, idleTimeoutSecs: 0 }, withoutBlake3, withoutSha256]) {
    assert.deepEqual(decodeIdentitySidecar(encodeIdentitySidecar(identity)), identity);
  }
});

test("a record of the old generation is read, with unknown keys and without the idle time-out", () => {
  const { idle_timeout_secs: _, ...old } = OLD_KEYS;
  const identity = decodeIdentitySidecar(JSON.stringify({ ...old, something: "else" }));
  assert.deepEqual(identity.sha256, new Uint8Array(32).fill(7));
  assert.equal(identity.blake3, undefined);
  assert.equal(identity.idleTimeoutSecs, undefined);
});

test("a record of a later generation is read; its all-zero SHA-256 counts as none", () => {
  const { exe_sha256: _, ...rest } = OLD_KEYS;
  const later = {
    ...rest,
    exe_hash_algorithm: "blake3",
    exe_hash: Array(32).fill(9),
    legacy_exe_sha256: Array(32).fill(0),
  };
  const identity = decodeIdentitySidecar(JSON.stringify(later));
  assert.deepEqual(identity.blake3, new Uint8Array(32).fill(9));
  assert.equal(identity.sha256, undefined);
  const known = decodeIdentitySidecar(JSON.stringify({ ...later, legacy_exe_sha256: Array(32).fill(8) }));
  assert.deepEqual(known.sha256, new Uint8Array(32).fill(8));
});

const broken: Record<string, unknown> = {
  "not JSON": undefined,
  "an array": [],
  null: null,
  "no pid": { ...OLD_KEYS, pid: undefined },
  "a pid above 32 bits": { ...OLD_KEYS, pid: 2 ** 32 },
  "a hash in hex": { ...OLD_KEYS, exe_sha256: "07".repeat(32) },
  "a hash of 31 bytes": { ...OLD_KEYS, exe_sha256: Array(31).fill(7) },
  "a hash with 256 in it": { ...OLD_KEYS, exe_sha256: Array(32).fill(256) },
  "no hash": { ...OLD_KEYS, exe_sha256: undefined },
  "only a hash of an unknown algorithm": {
    ...OLD_KEYS,
    exe_sha256: undefined,
    exe_hash_algorithm: "md5",
    exe_hash: Array(32).fill(1),
  },
  "no endpoint": { ...OLD_KEYS, ipc_endpoint: undefined },
  "an endpoint without a path": { ...OLD_KEYS, ipc_endpoint: { namespace_id: "n" } },
  "no boot id": { ...OLD_KEYS, boot_id: undefined },
  "a negative start": { ...OLD_KEYS, started_at_unix_ms: -1 },
  "an idle time-out that is text": { ...OLD_KEYS, idle_timeout_secs: "30" },
};

for (const [name, value] of Object.entries(broken)) {
  test(`a record with ${name} is refused by the strict reader and nothing to the tolerant one`, () => {
    const text = value === undefined ? "{pid" : JSON.stringify(value);
    assert.throws(
      () => decodeIdentitySidecar(text),
      (error) => hasCode(error, "IDENTITY_MALFORMED"),
    );
    assert.equal(tryDecodeIdentitySidecar(text), undefined);
  });
}

test("a path that is no valid Unicode text cannot be written", () => {
  assert.throws(
    () => encodeIdentitySidecar({ ...IDENTITY, exePath: "/x\ud800" }),
    (error) => hasCode(error, "IDENTITY_MALFORMED"),
  );
});
