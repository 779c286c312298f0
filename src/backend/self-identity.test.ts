import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { chmodSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { blake3 } from "@noble/hashes/blake3.js";
import { loadPlatform } from "../platform/platform.ts";
import type { Platform } from "../platform/ports/index.ts";
import { identifySelf, withBlake3 } from "./self-identity.ts";

const platform = await loadPlatform();
const ADDRESS = { path: "/run/x.sock", namespaceId: "shared" };
const NODE = realpathSync(process.execPath);

function script(t: TestContext, text: string, mode = 0o755): string {
  const directory = mkdtempSync(join(tmpdir(), "rpi-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(realpathSync(directory), "daemon.js");
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}

/** This process, seen as if it had been started to run `scriptPath` and the kernel showed `argv0`. */
function runningScript(scriptPath: string | undefined, argv0: string): Platform {
  const facts = platform.processes.inspect(process.pid);
  assert.ok(facts);
  const inspect = () => ({ ...facts, argv: [argv0, scriptPath ?? ""] });
  return { ...platform, processes: { ...platform.processes, selfScriptPath: scriptPath, inspect } };
}

test("the record of an ordinary program names its executable, its hashes, this boot and the address as given", async () => {
  const before = platform.clock.wallMs();
  const identity = await withBlake3(platform, await identifySelf(runningScript(undefined, NODE), ADDRESS));
  assert.equal(identity.pid, process.pid);
  assert.equal(identity.exePath, NODE);
  assert.deepEqual(identity.sha256, createHash("sha256").update(readFileSync(NODE)).digest());
  assert.equal(identity.blake3?.length, 32);
  assert.equal(identity.bootId, readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim());
  assert.deepEqual(identity.endpoint, ADDRESS);
  assert.equal(identity.idleTimeoutSecs, 30);
  assert.ok(identity.startedAtUnixMs >= before && identity.startedAtUnixMs <= platform.clock.wallMs());
});

for (const [line, argv0] of [
  ["#!/usr/bin/env node", "node"],
  ["#!/usr/bin/env -S node --no-warnings", "node"],
  ["#! /usr/local/bin/node --no-warnings", "/usr/local/bin/node"],
] as const) {
  test(`a script executed through "${line}" is itself the record's executable`, async (t) => {
    const path = script(t, `${line}\n// body\n`);
    const identity = await withBlake3(platform, await identifySelf(runningScript(path, argv0), ADDRESS));
    assert.equal(identity.exePath, path);
    assert.deepEqual(identity.sha256, createHash("sha256").update(readFileSync(path)).digest());
    assert.deepEqual(identity.blake3, Buffer.from(blake3(readFileSync(path))));
  });
}

test("a script that cannot have been executed by its path is not: no #! line, not executable, or the interpreter was started itself", async (t) => {
  const plain = runningScript(script(t, "// no line\n"), "node");
  const notExecutable = runningScript(script(t, "#!/usr/bin/env node\n", 0o644), "node");
  const interpreterStarted = runningScript(script(t, "#!/usr/bin/env node\n"), NODE);
  const otherInterpreter = runningScript(script(t, "#!/usr/bin/env deno\n"), "node");
  // Root may execute nothing without an x bit either, so the second case holds for every user.
  for (const how of [plain, notExecutable, interpreterStarted, otherInterpreter])
    assert.equal((await identifySelf(how, ADDRESS)).exePath, NODE);
});

test("what the broker says it launched is the record's executable, whatever it looks like from inside", async (t) => {
  const path = script(t, "#!/usr/bin/env node\n");
  const identity = await identifySelf(runningScript(undefined, NODE), { ...ADDRESS, binary: path });
  assert.equal(identity.exePath, path);
  assert.equal(identity.blake3, undefined, "the second hash is not waited for");
});
