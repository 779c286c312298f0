import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdtempSync, renameSync, rmSync, unlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { loadPlatform } from "../../src/platform/platform.ts";
import type { ProcessFacts } from "../../src/platform/ports/index.ts";

const { processes, user } = await loadPlatform();

test("the executable's path stays what it was, and its file's removal or replacement is told", async (t) => {
  const { path, facts } = await run(t, "program");
  assert.deepEqual(shown(facts()), [path, false]);

  const other = `${path}-next`;
  copyFileSync("/bin/sleep", other);
  renameSync(other, path);
  assert.deepEqual(shown(facts()), [path, true]);

  unlinkSync(path);
  assert.deepEqual(shown(facts()), [path, true]);
});

test("an executable that is called like a deleted one is there all the same, until it is deleted", async (t) => {
  const { path, facts } = await run(t, "program (deleted)");
  assert.deepEqual(shown(facts()), [path, false]);
  unlinkSync(path);
  assert.deepEqual(shown(facts()), [path, true]);
});

/** Guards against a live process that counted as gone because the path shown for it could not be looked at. */
test("a process whose program was deleted is there, also where the path shown for it is no path any more", async (t) => {
  const { path, facts } = await run(t, "x".repeat(250));
  unlinkSync(path);
  assert.deepEqual(shown(facts()), [path, true]);
});

test("a start token stays the same and names one process", async (t) => {
  const [one, other] = [await run(t, "one"), await run(t, "other")];
  assert.equal(one.facts().startToken, one.facts().startToken);
  assert.notEqual(one.facts().startToken, "");
  // Two processes may start in one tick; one that has long been running started in another.
  assert.notEqual(other.facts().startToken, processes.inspect(1)?.startToken);
});

test("what the user owns is told from what another user does", async (t) => {
  const { facts } = await run(t, "program");
  assert.ok(user.owns(facts()));
  assert.equal(user.ownerText(facts()), `uid ${process.geteuid?.()}`);
  const { createUser, ownerOf } = await import("../../src/platform/posix/user.ts");
  const another = { owner: ownerOf(createUser().uid + 1) };
  assert.ok(!user.owns(another));
  assert.equal(user.ownerText(another), `uid ${createUser().uid + 1}`);
});

function shown({ exePath, exeReplaced }: ProcessFacts): [string, boolean] {
  return [exePath, exeReplaced];
}

async function run(t: TestContext, name: string): Promise<{ path: string; facts: () => ProcessFacts }> {
  const directory = mkdtempSync(join(tmpdir(), "rpb-inspect-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const path = join(directory, name);
  copyFileSync("/bin/sleep", path);
  const child = spawn(path, ["1000"], { stdio: "ignore" });
  const gone = once(child, "exit");
  t.after(() => {
    child.kill("SIGKILL");
    return gone;
  });
  await once(child, "spawn");
  return {
    path,
    facts: () => {
      const facts = processes.inspect(child.pid as number);
      assert.ok(facts);
      return facts;
    },
  };
}
