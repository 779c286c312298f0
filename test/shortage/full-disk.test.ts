/**
 * Real file systems without room, without inodes, or mounted read-only, below each of the directories in turn: every verb
 * either does its work or says in words which file failed and how. Never with a stack.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { COMPAT, createWorld, RPB, type World } from "../support/world.ts";

/** How a directory is spoilt, by a shell in a mount namespace of its own; `$1` is the directory. */
const SPOILT = {
  "is full": 'mount -t tmpfs -o size=16k,mode=0700 none "$1" && { dd if=/dev/zero of="$1/filler" 2>/dev/null; true; }',
  "has no inodes left": 'mount -t tmpfs -o nr_inodes=1,mode=0700 none "$1"',
  "is read-only": 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1"',
} as const;

const ERRNO = { "is full": "ENOSPC", "has no inodes left": "ENOSPC", "is read-only": "EROFS" } as const;

const VERBS = [
  ["connect", "svc", "1.0.0"],
  ["connect", "svc", "1.0.0", "--json"],
  ["status", "--all"],
  ["why", "svc"],
  ["events"],
  ["logs", "svc"],
  ["metrics", "--instance", "private:svc"],
  ["restart", "--instance", "private:svc"],
  ["connect", "svc", "1.0.0"],
  ["service", "add", "more", "--binary", "/bin/sleep"],
  ["service", "list"],
  ["service", "check", "svc", "--version", "1.0.0"],
  ["service", "remove", "svc"],
] as const;

interface Ran {
  readonly words: readonly string[];
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs verbs one after the other where `directory` is spoilt. Undefined when this user may not mount. */
async function runWhere(
  world: World,
  { directory, how }: { directory: string; how: keyof typeof SPOILT },
  verbs: readonly (readonly string[])[],
): Promise<Ran[] | undefined> {
  const script = `${SPOILT[how]} || exit 99
exec "$2" "$3"`;
  const { code, stdout, stderr } = await world.run(
    "unshare",
    ["-m", "sh", "-c", script, "sh", directory, process.execPath, world.install("runs-verbs.mjs")],
    { input: JSON.stringify({ rpb: RPB, verbs }) },
  );
  if (code === 99 || stderr.startsWith("unshare:")) return undefined;
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout) as Ran[];
}

function said({ words, code, stdout, stderr }: Ran): string {
  return `rpb ${words.join(" ")}: ${code}\n${stderr}${stdout}`;
}

/** Its directories lie apart, so that one can be spoilt without the others; definitions are in none of them. */
async function worldWithService(t: TestContext): Promise<{ world: World; directories: Record<string, string> }> {
  const world = await createWorld(t);
  // Beside the world, because socket paths below it must be short.
  const runtime = mkdtempSync(`${tmpdir()}/`);
  t.after(() => rmSync(runtime, { recursive: true }));
  const { XDG_CONFIG_HOME: config = "", XDG_STATE_HOME: state = "" } = world.env;
  world.env.XDG_RUNTIME_DIR = runtime;
  world.env.RUNNING_PROCESS_SERVICE_DEF_DIR = join(world.root, "defs");
  const added = await world.run(process.execPath, [
    RPB,
    "service",
    "add",
    "svc",
    "--binary",
    world.install("reverse.mjs"),
  ]);
  assert.equal(added.code, 0, added.stderr);
  return { world, directories: { runtime, config, state, definitions: join(world.root, "defs") } };
}

for (const how of Object.keys(SPOILT) as (keyof typeof SPOILT)[])
  for (const which of ["runtime", "state", "definitions"])
    test(`the ${which} directory ${how}: no verb answers with a stack`, async (t) => {
      const { world, directories } = await worldWithService(t);
      const directory = directories[which] as string;
      const ran = await runWhere(world, { directory, how }, VERBS);
      if (ran === undefined) return t.skip("needs the right to mount");
      for (const each of ran) {
        assert.notEqual(each.code, 70, said(each));
        assert.doesNotMatch(each.stderr + each.stdout, /INTERNAL|\n\s+at /, said(each));
        if (each.stderr.includes("IO_FAILED")) {
          assert.equal(each.code, 74, said(each));
          assert.ok(each.stderr.includes(directory), said(each));
        }
        if (each.code === 74) {
          assert.ok(each.stderr.includes(ERRNO[how]), said(each));
          assert.doesNotMatch(each.stderr, /try again in/, said(each));
        }
      }
      const connected = ran.filter(({ words }) => words[0] === "connect").map(({ code }) => code);
      // Sockets and records have no other place; a log that cannot be written is done without. A mount hides what was there.
      const expected = which === "runtime" ? 74 : which === "definitions" && how !== "is read-only" ? 78 : 0;
      assert.deepEqual(new Set(connected), new Set([expected]), ran.map(said).join("\n"));
      const added = ran.find(({ words }) => words[1] === "add");
      assert.equal(added?.code, which === "definitions" ? 74 : 0);
    });

test("an archive that has no room is refused with its path, and nothing of it is left", async (t) => {
  const { world } = await worldWithService(t);
  const target = join(world.root, "target");
  mkdirSync(target);
  const ran = await runWhere(world, { directory: target, how: "is full" }, [
    ["connect", "svc", "1.0.0"],
    ["diagnose", "--instance", "private:svc", "--output", join(target, "d.tar.gz")],
  ]);
  if (ran === undefined) return t.skip("needs the right to mount");
  const diagnosed = ran[1] as Ran;
  assert.notEqual(diagnosed.code, 0, said(diagnosed));
  assert.match(diagnosed.stderr + diagnosed.stdout, /ENOSPC/);
  assert.match(diagnosed.stderr + diagnosed.stdout, /d\.tar\.gz/);
  assert.doesNotMatch(diagnosed.stderr, /\n\s+at /);
});

test("rpb serve where there is no room at all: it serves, and says what it cannot record", async (t) => {
  const { world, directories } = await worldWithService(t);
  const socket = join(directories.runtime as string, "b.sock");
  const ran = await runWhere(world, { directory: directories.runtime as string, how: "is full" }, [
    ["serve", "--socket", socket, "--idle-exit", "1s"],
    ["serve", "--socket", join(directories.runtime as string, "sub", "b.sock"), "--idle-exit", "1s"],
  ]);
  if (ran === undefined) return t.skip("needs the right to mount");
  for (const each of ran) {
    assert.equal(each.code, 0, said(each));
    assert.match(each.stdout, /^ready /);
  }
  assert.equal(existsSync(socket), false);
});

for (const [script, args, code, said] of [
  [RPB, ["service", "list"], 74, /^rpb: \[IO_FAILED\] write standard output failed: ENOSPC\n$/],
  [RPB, ["--help"], 74, /ENOSPC/],
  [COMPAT, ["--version"], 1, /^running-process-broker-v1: write standard output failed: ENOSPC\n$/],
] as const)
  test(`an answer that standard output has no room for is a failure: ${args.join(" ")}`, async (t) => {
    const { world } = await worldWithService(t);
    const ran = await world.run("sh", ["-c", 'exec "$@" >/dev/full', "sh", process.execPath, script, ...args]);
    assert.equal(ran.code, code, ran.stderr);
    assert.match(ran.stderr, said);
  });

test("a reader that has seen enough is none", async (t) => {
  const { world } = await worldWithService(t);
  const head = `"$@" | head -n 1; exit "\${PIPESTATUS[0]}"`;
  const ran = await world.run("bash", ["-c", head, "bash", process.execPath, RPB, "--help"]);
  assert.deepEqual([ran.code, ran.stderr], [0, ""]);
});

// EPIPE alone was known: on a TCP connection that the reader had reset, the answer was a failure.
test("a reader that has reset its TCP connection is none either", async (t) => {
  const { world } = await worldWithService(t);
  const server = createServer({ pauseOnConnect: true }).listen(0, "127.0.0.1");
  t.after(() => server.close());
  await once(server, "listening");
  const reader = connect((server.address() as { port: number }).port, "127.0.0.1");
  const [output] = (await once(server, "connection")) as [Socket];
  t.after(() => output.destroy());
  reader.resetAndDestroy();
  await once(reader, "close");
  for (const args of [["--help"], ["service", "list"]]) {
    const child = world.track(
      spawn(process.execPath, [RPB, ...args], { env: world.env, stdio: ["ignore", output, "pipe"] }),
    );
    let stderr = "";
    child.stderr?.setEncoding("utf8").on("data", (chunk: string) => (stderr += chunk));
    const [code] = await once(child, "close");
    assert.deepEqual([code, stderr], [0, ""], args.join(" "));
  }
});
