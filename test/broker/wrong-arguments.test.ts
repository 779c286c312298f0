/** Public entries called by programs without types: each wrong argument is OPTION_INVALID and is named. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { bootstrap, createEndpointMux, serve } from "../../src/backend/index.ts";
import { parseInstanceId } from "../../src/broker/index.ts";
import { defineService, openServices } from "../../src/index.ts";
import { checkProbeResponds } from "../../src/testing/index.ts";

type Untyped = (...args: unknown[]) => unknown;
const DRAFT = { name: "svc", binary: "/bin/true" };
const ENTRIES: readonly [string, Untyped, readonly unknown[], string][] = [
  ["defineService", defineService as Untyped, [], "draft"],
  ["defineService", defineService as Untyped, [null], "draft"],
  ["defineService", defineService as Untyped, ["svc"], "draft"],
  ["defineService", defineService as Untyped, [{ name: "svc" }], "binary"],
  ["defineService", defineService as Untyped, [{ ...DRAFT, versions: "1.0.0" }], "versions"],
  ["defineService", defineService as Untyped, [{ ...DRAFT, versions: [1] }], "versions[0]"],
  ["defineService", defineService as Untyped, [{ ...DRAFT, exec: null }], "exec"],
  ["defineService", defineService as Untyped, [{ ...DRAFT, exec: { args: "-v" } }], "exec.args"],
  ["defineService", defineService as Untyped, [{ ...DRAFT, exec: { env: { A: 1 } } }], "exec.env.A"],
  ["defineService", defineService as Untyped, [{ ...DRAFT, exec: { readyTimeout: 5 } }], "exec.readyTimeout"],
  ["defineService", defineService as Untyped, [{ ...DRAFT, labels: { x: 1 } }], "labels.x"],
  ["openServices", openServices as Untyped, [null], "options"],
  ["openServices", openServices as Untyped, [{ directory: 7 }], "directory"],
  ["serve", serve as Untyped, [], "options"],
  ["serve", serve as Untyped, [{ protocol: 0xf001 }], "handle"],
  ["serve", serve as Untyped, [{ protocols: { 61441: "echo" } }], "protocols[61441]"],
  ["serve", serve as Untyped, [{ legacy: {} }], "legacy.onSocket"],
  ["serve", serve as Untyped, [{ protocols: {}, load: 7 }], "load"],
  ["serve", serve as Untyped, [{ protocols: {}, stopTimeoutMs: "1s" }], "stopTimeoutMs"],
  ["bootstrap", bootstrap as Untyped, [], "backend"],
  ["bootstrap", bootstrap as Untyped, [{}], "bind"],
  ["createEndpointMux", createEndpointMux as Untyped, [], "options"],
  ["parseInstanceId", parseInstanceId as Untyped, [7], "instance"],
  ["checkProbeResponds", checkProbeResponds as Untyped, [], "expected"],
  ["checkProbeResponds", checkProbeResponds as Untyped, [{ pid: 1 }], "expected.endpoint"],
];

for (const [name, call, args, check] of ENTRIES)
  test(`${name}(${args.map((arg) => JSON.stringify(arg)).join()}): ${check}`, async () => {
    await assert.rejects(async () => call(...args), { code: "OPTION_INVALID", details: { check } });
  });

test("services: a name that is no text, a draft that is none", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "w"));
  t.after(() => rmSync(directory, { recursive: true }));
  const services = await openServices({ directory });
  for (const call of [services.get, services.remove, services.add] as Untyped[])
    assert.throws(() => call(undefined), { code: "OPTION_INVALID" });
});
