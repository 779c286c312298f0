import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, type TestContext, test } from "node:test";
import { sweepTemporaries, writeAtomic } from "./atomic-file.ts";

let directory: string;
beforeEach((t) => {
  directory = mkdtempSync(`${tmpdir()}/`);
  (t as TestContext).after(() => rmSync(directory, { recursive: true }));
});

function temporaryOf(pid: number | string, name = "a.manifest"): string {
  return `.${name}.tmp-${pid}-0123456789ab`;
}

async function startProcess(t: TestContext): Promise<{ pid: number; end(): Promise<void> }> {
  const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1e6)"], { stdio: "ignore" });
  await once(child, "spawn");
  const end = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  };
  t.after(end);
  return { pid: child.pid as number, end };
}

test("what a killed writer left is removed, what a live one writes is not", async (t) => {
  const writer = await startProcess(t);
  const temporary = temporaryOf(writer.pid);
  writeFileSync(join(directory, temporary), "half");
  writeAtomic(join(directory, "a.manifest"), Buffer.from("whole"));
  assert.equal(sweepTemporaries(directory), 0);
  assert.deepEqual(readdirSync(directory).sort(), [temporary, "a.manifest"]);
  await writer.end();
  assert.equal(sweepTemporaries(directory), 1);
  assert.deepEqual(readdirSync(directory), ["a.manifest"]);
});

test("a number that was given to another process does not keep a file for ever", async (t) => {
  const { pid } = await startProcess(t);
  const beforeUs = new Date(Date.now() - process.uptime() * 1000 - 1000);
  for (const [owner, written] of [
    [pid, new Date(0)],
    [process.pid, beforeUs],
  ] as const) {
    writeFileSync(join(directory, temporaryOf(owner)), "half");
    assert.equal(sweepTemporaries(directory), 0, "it may be written at this moment");
    utimesSync(join(directory, temporaryOf(owner)), written, written);
    assert.equal(sweepTemporaries(directory), 1);
  }
  assert.deepEqual(readdirSync(directory), []);
});

test("nothing else is touched: other names, other kinds, and those of the reference", async (t) => {
  const writer = await startProcess(t);
  await writer.end();
  const names = [
    temporaryOf(writer.pid).slice(1),
    temporaryOf(writer.pid, ""),
    temporaryOf("0"),
    temporaryOf("x"),
    `${temporaryOf(writer.pid)}0000000`,
  ];
  for (const name of names) writeFileSync(join(directory, name), "");
  mkdirSync(join(directory, temporaryOf(writer.pid)));
  assert.equal(sweepTemporaries(directory), 0);
  assert.deepEqual(readdirSync(directory).sort(), [...names, temporaryOf(writer.pid)].sort());
});

test("a directory that is not there or cannot be read holds nothing to remove, and nobody fails for it", () => {
  const file = join(directory, "file");
  writeFileSync(file, "");
  for (const path of [join(directory, "missing"), file]) assert.equal(sweepTemporaries(path), 0);
});
