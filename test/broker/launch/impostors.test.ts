/** Answers and binaries that are not what was meant (spec: identity §3 step 15, §5; launch §6). */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { copyFileSync, renameSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import test from "node:test";
import { createLaunching, makeFifo } from "../../support/launching.ts";

const HEX = { wrong: randomBytes(32).toString("hex") };

/** What the answer changes, and the field that the refusal must name. */
const FIELDS: readonly { what: string; changes: object; check: string; hash?: string; shown?: string }[] = [
  { what: "the pid of another process", changes: { pid: 1 }, check: "pid", shown: "1" },
  { what: "no pid", changes: { pid: 0 }, check: "pid", shown: "0" },
  { what: "another executable", changes: { exePath: "/bin/true" }, check: "exe_path", shown: "/bin/true" },
  { what: "another SHA-256", changes: { exeSha256: { hex: HEX.wrong } }, check: "exe_sha256", shown: HEX.wrong },
  {
    what: "another BLAKE3",
    changes: { exeHash: { hex: HEX.wrong } },
    check: "exe_hash",
    hash: "blake3",
    shown: HEX.wrong,
  },
  { what: "another boot", changes: { bootId: "another-boot" }, check: "boot_id", shown: "another-boot" },
  {
    what: "another endpoint",
    changes: { ipcEndpoint: { namespaceId: "private:liar", path: "/tmp/elsewhere" } },
    check: "ipc_endpoint",
  },
  {
    what: "another namespace",
    changes: { ipcEndpoint: { namespaceId: "shared", path: "$endpoint" } },
    check: "ipc_endpoint",
  },
];

const MALFORMED: readonly { what: string; changes: object; check: string }[] = [
  { what: "without an endpoint", changes: { ipcEndpoint: null }, check: "endpoint" },
  { what: "with a hash of 31 bytes", changes: { exeSha256: { hex: HEX.wrong.slice(2) } }, check: "exe_sha256" },
  { what: "without a hash", changes: { exeSha256: { hex: "" } }, check: "exe_sha256" },
];

test("a backend that answers as somebody else is refused at once, naming the field, and killed", async (t) => {
  const launching = await createLaunching(t);
  for (const [index, { what, changes, check, hash, shown }] of FIELDS.entries()) {
    await t.test(`it claims ${what}`, async () => {
      const serviceName = `liar-${index}`;
      launching.world.define({
        serviceName,
        binary: "another-identity.mjs",
        labels: {
          "exec.env.CHANGES": JSON.stringify(changes),
          "exec.env.HASH": hash ?? "sha256",
          "exec.ready_timeout": "10m",
        },
      });
      const refused = await launching.refused(serviceName);
      const start = `backend spawn failed: backend identity mismatch: ${check} is ${shown === undefined ? "" : JSON.stringify(shown)}`;
      assert.equal(refused.reason.slice(0, start.length), start);
      assert.equal(refused.details.error, "IDENTITY_MISMATCH");
      assert.equal(refused.details.check, check);
      assert.deepEqual(launching.leftovers(), []);
    });
  }
  for (const [index, { what, changes, check }] of MALFORMED.entries()) {
    await t.test(`its record comes ${what}`, async () => {
      const serviceName = `malformed-${index}`;
      launching.world.define({
        serviceName,
        binary: "another-identity.mjs",
        labels: { "exec.env.CHANGES": JSON.stringify(changes), "exec.ready_timeout": "10m" },
      });
      const { details } = await launching.refused(serviceName);
      assert.deepEqual([details.error, details.check], ["IDENTITY_MALFORMED", check]);
      assert.deepEqual(launching.leftovers(), []);
    });
  }
});

test("a record with either hash is accepted: SHA-256 as 4.5.5 has it, BLAKE3 as later versions do", async (t) => {
  const launching = await createLaunching(t);
  for (const hash of ["sha256", "blake3"]) {
    const labels = { "exec.env.HASH": hash };
    launching.world.define({ serviceName: hash, binary: "another-identity.mjs", labels });
    assert.match((await launching.negotiated(hash)).backendPipe, /-be-[0-9a-f]{32}\.sock$/);
  }
});

test("start time and idle time-out are not compared", async (t) => {
  const launching = await createLaunching(t);
  launching.world.define({
    serviceName: "svc",
    binary: "another-identity.mjs",
    labels: { "exec.env.CHANGES": JSON.stringify({ idleTimeoutSecs: 7 }) },
  });
  await launching.negotiated("svc");
});

test("a binary that is replaced while it is being launched is refused", async (t) => {
  const launching = await createLaunching(t);
  const { world } = launching;
  const started = makeFifo(join(world.root, "started"));
  const go = makeFifo(join(world.root, "go"));
  const binaryPath = world.install("waits.mjs");
  world.define({
    serviceName: "svc",
    binaryPath,
    labels: { "exec.env.STARTED": started, "exec.env.GO": go },
  });
  const refusal = launching.refused("svc");
  await readFile(started);
  copyFileSync(binaryPath, `${binaryPath}.new`);
  renameSync(`${binaryPath}.new`, binaryPath);
  await writeFile(go, "");
  assert.equal(
    (await refusal).reason,
    `backend spawn failed: backend binary "${binaryPath}" was changed while it was being launched`,
  );
  assert.deepEqual(launching.leftovers(), []);
});
