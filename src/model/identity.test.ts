import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { completeMessage } from "../../test/support/complete-message.ts";
import { hasCode } from "../base/errors.ts";
import { decodeMessage, encodeMessage } from "../wire/codec.ts";
import { type DaemonProcess, DaemonProcessSchema } from "../wire/messages.ts";
import { type BackendIdentity, identityDifference, identityFromMessage, identityToMessage } from "./identity.ts";

const SHA = Buffer.alloc(32, 0x11);
const B3 = Buffer.alloc(32, 0x22);
const OTHER = Buffer.alloc(32, 0x33);

const BARE = {
  pid: 4242,
  exePath: "/opt/d/bin/d",
  endpoint: { namespaceId: "shared", path: "/run/d.sock" },
  startedAtUnixMs: 1_700_000_000_000,
  bootId: "boot-1",
} as const;
const SHA_ONLY: BackendIdentity = { ...BARE, sha256: SHA };
const BLAKE3_ONLY: BackendIdentity = { ...BARE, blake3: B3 };
const BOTH: BackendIdentity = { ...BARE, sha256: SHA, blake3: B3, idleTimeoutSecs: 30 };

describe("an identity on the wire", () => {
  for (const [name, identity] of [
    ["SHA-256 alone", SHA_ONLY],
    ["BLAKE3 alone", BLAKE3_ONLY],
    ["both hashes", BOTH],
    ["an idle time-out of 0, which is not none", { ...BOTH, idleTimeoutSecs: 0 }],
  ] as const) {
    test(`comes back as it was with ${name}`, () => {
      const bytes = encodeMessage(DaemonProcessSchema, identityToMessage(identity));
      const { sha256, blake3, ...rest } = identityFromMessage(decodeMessage(DaemonProcessSchema, bytes));
      const { sha256: wantedSha256, blake3: wantedBlake3, ...wantedRest } = identity as BackendIdentity;
      assert.deepEqual(rest, wantedRest);
      assert.deepEqual([sha256, blake3].map(hexOf), [wantedSha256, wantedBlake3].map(hexOf));
    });
  }

  test("of the reference has SHA-256 in field 3 and no fields 8 and 9", () => {
    const message = completeMessage(DaemonProcessSchema, identityToMessage(SHA_ONLY));
    assert.deepEqual([hexOf(message.exeSha256), message.exeHashAlgorithm, message.exeHash.length], [hexOf(SHA), "", 0]);
  });

  test("of later versions has BLAKE3 in fields 8 and 9 and no field 3", () => {
    const message = completeMessage(DaemonProcessSchema, identityToMessage(BLAKE3_ONLY));
    assert.deepEqual(
      [message.exeSha256.length, message.exeHashAlgorithm, hexOf(message.exeHash)],
      [0, "blake3", hexOf(B3)],
    );
  });

  test("with a hash of an algorithm we do not know is taken by its SHA-256", () => {
    const identity = identityFromMessage(
      message({ exeSha256: SHA, exeHashAlgorithm: "sha3", exeHash: Buffer.alloc(5) }),
    );
    assert.equal(identity.blake3, undefined);
    assert.equal(hexOf(identity.sha256), hexOf(SHA));
  });

  test("may hold pid 0 and empty texts", () => {
    const identity = identityFromMessage(completeMessage(DaemonProcessSchema, { exeSha256: SHA, ipcEndpoint: {} }));
    assert.deepEqual([identity.pid, identity.exePath, identity.bootId, identity.endpoint.path], [0, "", "", ""]);
  });
});

describe("an identity is malformed", () => {
  const rows: readonly (readonly [string, string, DaemonProcess])[] = [
    [
      "without an endpoint, which is looked at first",
      "endpoint",
      completeMessage(DaemonProcessSchema, { exeSha256: Buffer.alloc(3) }),
    ],
    ["with 31 bytes of SHA-256", "exe_sha256", message({ exeSha256: SHA.subarray(1) })],
    [
      "with 33 bytes of SHA-256, even beside a good BLAKE3",
      "exe_sha256",
      message({ exeSha256: Buffer.alloc(33), exeHashAlgorithm: "blake3", exeHash: B3 }),
    ],
    [
      "with 16 bytes of BLAKE3, even beside a good SHA-256",
      "exe_hash",
      message({ exeSha256: SHA, exeHashAlgorithm: "blake3", exeHash: B3.subarray(16) }),
    ],
    ["with an algorithm but no hash", "exe_hash", message({ exeHashAlgorithm: "blake3" })],
    ["with no hash at all", "exe_sha256", message({})],
    ["with a hash of no algorithm", "exe_sha256", message({ exeHash: B3 })],
    ["with a hash of an unknown algorithm alone", "exe_sha256", message({ exeHashAlgorithm: "BLAKE3", exeHash: B3 })],
  ];
  for (const [name, check, wrong] of rows) {
    test(name, () => {
      assert.throws(
        () => identityFromMessage(wrong),
        (error) => hasCode(error, "IDENTITY_MALFORMED") && error.details.check === check,
      );
    });
  }
});

describe("the first difference", () => {
  test("is none between equal identities, and start time and idle time-out do not count", () => {
    assert.equal(identityDifference(BOTH, BOTH), undefined);
    assert.equal(
      identityDifference(BOTH, { ...BOTH, sha256: Buffer.from(SHA), startedAtUnixMs: 1, idleTimeoutSecs: 99 }),
      undefined,
    );
  });

  // In the order in which they are compared.
  const fields: readonly (readonly [string, Partial<BackendIdentity>])[] = [
    ["pid", { pid: 1 }],
    ["exe_path", { exePath: "/opt/other" }],
    ["exe_sha256", { sha256: OTHER }],
    ["exe_hash", { blake3: OTHER }],
    ["boot_id", { bootId: "boot-2" }],
    ["ipc_endpoint", { endpoint: { namespaceId: "shared", path: "/run/other.sock" } }],
  ];
  for (const [index, [field, wrong]] of fields.entries()) {
    test(`is ${field} before everything behind it`, () => {
      const allBehind = Object.assign({}, ...fields.slice(index).map(([, values]) => values));
      assert.equal(identityDifference(BOTH, { ...BOTH, ...wrong }), field);
      assert.equal(identityDifference(BOTH, { ...BOTH, ...allBehind }), field);
      assert.equal(identityDifference({ ...BOTH, ...allBehind }, BOTH), field);
    });
  }

  test("is the endpoint for its name space alone, too", () => {
    const other = { ...BOTH, endpoint: { ...BOTH.endpoint, namespaceId: "private:d" } };
    assert.equal(identityDifference(BOTH, other), "ipc_endpoint");
  });

  test("is none when the hashes that both sides know agree", () => {
    assert.equal(identityDifference(BOTH, SHA_ONLY), undefined);
    assert.equal(identityDifference(BLAKE3_ONLY, BOTH), undefined);
  });

  test("is the hash when both sides know different kinds only, so that nothing was proved", () => {
    assert.equal(identityDifference(SHA_ONLY, BLAKE3_ONLY), "exe_sha256");
    assert.equal(identityDifference(BARE, BARE), "exe_sha256");
  });
});

function message(values: Partial<Pick<DaemonProcess, "exeSha256" | "exeHashAlgorithm" | "exeHash">>): DaemonProcess {
  return completeMessage(DaemonProcessSchema, { pid: 1, ipcEndpoint: { path: "/s" }, ...values });
}

function hexOf(bytes: Uint8Array | undefined): string | undefined {
  return bytes === undefined ? undefined : Buffer.from(bytes).toString("hex");
}
