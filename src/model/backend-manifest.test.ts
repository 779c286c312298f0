import assert from "node:assert/strict";
import test from "node:test";
import { decodeMessage, encodeMessage } from "../wire/codec.ts";
import { CacheManifestSchema } from "../wire/messages.ts";
import { type BackendManifest, decodeBackendManifest, encodeBackendManifest } from "./backend-manifest.ts";
import { createServiceDefinition } from "./service-definition.ts";

const HOST = { machineId: "m", hostname: "h" };
const MANIFEST: BackendManifest = {
  instanceId: "private:svc",
  service: "svc",
  version: "1.2.3",
  identity: {
    pid: 4242,
    exePath: "/opt/svc/svc",
    sha256: new Uint8Array(32).fill(7),
    endpoint: { namespaceId: "private:svc", path: "/run/x.sock" },
    startedAtUnixMs: 1_700_000_000_000,
    bootId: "boot",
    idleTimeoutSecs: 30,
  },
  startToken: String(2n ** 60n),
  kernelExe: "/usr/bin/node",
  brokerEndpoint: "/run/broker.sock",
  definition: createServiceDefinition({
    serviceName: "svc",
    binaryPath: "/opt/svc/svc",
    labels: { "exec.args": '["--x"]', "exec.env.A": "1" },
  }),
  logPath: "/log/svc-1.2.3.log",
  retired: true,
};

test("a manifest is read as it was written", () => {
  const read = decodeBackendManifest(encodeBackendManifest(MANIFEST, HOST));
  assert.deepEqual(
    { ...read, identity: { ...read.identity, sha256: undefined } },
    {
      ...MANIFEST,
      identity: { ...MANIFEST.identity, sha256: undefined },
    },
  );
  assert.deepEqual([...(read.identity.sha256 ?? [])], [...(MANIFEST.identity.sha256 ?? [])]);
});

test("other readers of manifests find the daemon, the frozen constants and a hash that fits", () => {
  const message = decodeMessage(CacheManifestSchema, encodeBackendManifest(MANIFEST, HOST));
  assert.equal(message.currentDaemon?.pid, 4242);
  assert.equal(message.brokerEnvelopeVersion, "v1");
  assert.equal(message.mediaType, "application/vnd.running-process.cache-manifest.v1");
  assert.equal(message.selfSha256.length, 32);
  assert.equal(Object.keys(message.roots[0]?.labels ?? {}).length, 1);
});

test("a manifest that was cut or changed anywhere is none", () => {
  const bytes = encodeBackendManifest(MANIFEST, HOST);
  for (let length = 0; length < bytes.length; length++)
    assert.throws(() => decodeBackendManifest(bytes.subarray(0, length)), { code: "MESSAGE_MALFORMED" }, `${length}`);
  for (let at = 0; at < bytes.length; at++) {
    const changed = Buffer.from(bytes);
    changed[at] = (changed[at] as number) ^ 1;
    assert.throws(() => decodeBackendManifest(changed), { code: "MESSAGE_MALFORMED" }, `byte ${at}`);
  }
});

test("a manifest of a later schema, or one that no broker of ours wrote, is none", () => {
  for (const change of [{ manifestSchemaVersion: 2 }, { roots: [] }, { currentDaemon: undefined }]) {
    const message = decodeMessage(CacheManifestSchema, encodeBackendManifest(MANIFEST, HOST));
    const bytes = encodeMessage(CacheManifestSchema, { ...message, ...change } as never);
    assert.throws(() => decodeBackendManifest(bytes), { code: "MESSAGE_MALFORMED" });
  }
});
