/**
 * Directories as ordinary users meet them: odd umasks, the reference's modes, and what another user made beforehand.
 * Root becomes that user; a number without an account, so that the paths in /tmp are the test's own.
 */
import assert from "node:assert/strict";
import { chmodSync, chownSync, existsSync, lchownSync, lstatSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { createWorld, type Finished, RPB, type World } from "../support/world.ts";

const skip = process.geteuid?.() !== 0 && "needs root to become another user";
const STRANGER = 65534;
let users = 1_100_000_000 + process.pid * 100;

interface User {
  readonly uid: number;
  readonly world: World;
  /** Runs a program as the user, under `umask`; without XDG_RUNTIME_DIR unless given. */
  run(args: readonly string[], options?: { umask?: string; env?: Record<string, string> }): Promise<Finished>;
  rpb(...args: string[]): Promise<Finished>;
  ask(options?: {
    umask?: string;
  }): Promise<{ answer?: string; code?: string; message?: string; startedBroker?: boolean }>;
}

/** `runtimeDirectory` false: none is set, and sockets are below /tmp. */
async function createUser(t: TestContext, { runtimeDirectory = true } = {}): Promise<User> {
  const uid = users++;
  let rpb: User["rpb"] = async () => ({ code: 0, signal: null, stdout: "", stderr: "" });
  t.after(() => rpb("stop", "--all", "--with-backends", "--timeout", "1s"));
  const world = await createWorld(t, { runtimeDirectory: (root) => join(root, "r") });
  t.after(() => rmSync(`/tmp/running-process-${uid}`, { recursive: true, force: true }));
  world.define({ serviceName: "tool" });
  const client = world.install("client.mjs");
  for (const name of ["", ...(readdirSync(world.root, { recursive: true }) as string[])])
    lchownSync(join(world.root, name), uid, uid);
  const run: User["run"] = (args, { umask = "022", env } = {}) => {
    const unset = runtimeDirectory ? [] : ["-u", "XDG_RUNTIME_DIR"];
    const become = ["setpriv", `--reuid=${uid}`, `--regid=${uid}`, "--clear-groups", "env", ...unset];
    return world.run("/bin/sh", ["-c", `umask ${umask} && exec "$@"`, "sh", ...become, ...args], {
      ...(env && { env }),
    });
  };
  rpb = (...args) => run([process.execPath, RPB, ...args]);
  return {
    uid,
    world,
    run,
    rpb,
    async ask(options) {
      const { stdout, stderr } = await run([process.execPath, client, "tool", "1.0.0", "olleh"], options);
      assert.match(stdout, /^\{/, stderr);
      return JSON.parse(stdout);
    },
  };
}

for (const umask of ["000", "0177", "0777"]) {
  test(`a client under umask ${umask} starts everything, and others find it`, { skip }, async (t) => {
    const { world, ask, rpb } = await createUser(t);
    assert.equal((await ask({ umask })).answer, "hello");
    const second = await ask();
    assert.deepEqual([second.answer, second.startedBroker], ["hello", false]);
    assert.equal((await rpb("status")).code, 0);
    // The world's own directories are not of this package's making.
    const own = [join(world.env.XDG_RUNTIME_DIR ?? ""), join(world.env.XDG_STATE_HOME ?? "")];
    const made = own.flatMap((top) =>
      (readdirSync(top, { recursive: true }) as string[]).map((name) => join(top, name)),
    );
    assert.ok(made.length > 6);
    for (const path of made) {
      const facts = lstatSync(path);
      if (!facts.isSymbolicLink()) assert.equal(facts.mode & 0o7777, facts.isDirectory() ? 0o700 : 0o600, path);
    }
  });
}

test("a definition added under umask 0777 can be read, and an archive of diagnose is private", { skip }, async (t) => {
  const { world, run, ask } = await createUser(t);
  const umask = "0777";
  rmSync(world.definitions, { recursive: true });
  const added = await run(
    [process.execPath, RPB, "service", "add", "tool", "--binary", join(world.root, "bin/reverse.mjs")],
    { umask },
  );
  assert.equal(added.code, 0, added.stderr);
  assert.equal(lstatSync(world.definitions).mode & 0o777, 0o700);
  assert.equal((await ask({ umask })).answer, "hello");
  const archive = join(world.root, "a.tar.gz");
  const wrote = await run([process.execPath, RPB, "diagnose", "--service", "tool", "--output", archive], { umask });
  assert.equal(wrote.code, 0, wrote.stderr);
  assert.equal(lstatSync(archive).mode & 0o777, 0o600);
});

for (const owner of ["root's", "its own"])
  test(`a program that is ${owner} and cannot be read is no launch, and no fault of the broker's files`, {
    skip,
  }, async (t) => {
    const { uid, world, ask } = await createUser(t);
    const program = join(world.root, "bin/reverse.mjs");
    if (owner === "root's") chownSync(program, 0, 0);
    chmodSync(program, owner === "root's" ? 0o711 : 0o311);
    const { code, message } = await ask();
    assert.equal(code, "BACKEND_SPAWN_FAILED", message);
    assert.match(message ?? "", new RegExp(`reverse.mjs" cannot be read: EACCES; make it readable for uid ${uid}`));
  });

test("where the reference made the directory under umask 0002, clients and verbs reach the broker", {
  skip,
}, async (t) => {
  const { world, ask, rpb } = await createUser(t);
  await ask();
  chmodSync(world.runtime, 0o775);
  chmodSync(join(world.runtime, ".."), 0o775);
  const closed = world.env.XDG_RUNTIME_DIR ?? "";
  assert.equal(lstatSync(closed).mode & 0o777, 0o700);
  const second = await ask();
  assert.deepEqual([second.answer, second.startedBroker], ["hello", false]);
  assert.equal((await rpb("status")).code, 0);
  assert.equal((await rpb("stop", "--with-backends", "--timeout", "1s")).code, 0);
});

test("where the reference made the directory, clients connect, and no broker of ours begins", { skip }, async (t) => {
  const { world, ask, rpb, run } = await createUser(t);
  await ask();
  for (const path of [world.runtime, join(world.runtime, "..")]) chmodSync(path, 0o755);
  const second = await ask();
  assert.deepEqual([second.answer, second.startedBroker], ["hello", false]);
  for (const verb of ["status", "list-instances"]) assert.equal((await rpb(verb)).code, 0, verb);
  const stopped = await rpb("stop", "--all", "--with-backends");
  assert.equal(stopped.code, 0, stopped.stderr);
  const cure = `permissions 0755, expected 0700 (mend with: chmod 700 ${world.runtime})`;
  const refused = await ask();
  assert.equal(refused.code, "DIRECTORY_INSECURE");
  assert.ok(refused.message?.includes(cure), refused.message);
  const served = await rpb("serve");
  assert.equal(served.code, 77);
  assert.ok(served.stderr.includes(cure), served.stderr);
  assert.equal(lstatSync(world.runtime).mode & 0o777, 0o755, "left as it was");
  assert.equal((await run(["chmod", "700", world.runtime])).code, 0);
  assert.equal((await ask()).answer, "hello");
});

test("where others may write, nothing is connected to", { skip }, async (t) => {
  const { world, ask, rpb } = await createUser(t);
  await ask();
  chmodSync(world.runtime, 0o777);
  const refused = await ask();
  assert.equal(refused.code, "DIRECTORY_INSECURE");
  for (const args of [["status"], ["status", "--service", "tool"], ["stop", "--all"]])
    assert.equal((await rpb(...args)).code, 77, args.join(" "));
  chmodSync(world.runtime, 0o700);
});

/** What another user can make of the place where the sockets would be. */
const SQUATS = [
  ["closed", 0o700, false],
  ["open for reading", 0o755, false],
  ["open for writing", 0o777, false],
  ["with a directory in it", 0o755, true],
] as const;

for (const [what, mode, inner] of SQUATS) {
  for (const fallback of [false, true]) {
    const where = fallback ? "the fallback directory's parent" : "the directory in /tmp";
    test(`${where} made beforehand by another user, ${what}, is named before a connection is tried`, {
      skip,
    }, async (t) => {
      const { uid, world, run } = await createUser(t, { runtimeDirectory: fallback });
      const own = `/tmp/running-process-${uid}`;
      mkdirSync(own);
      if (inner) mkdirSync(join(own, "broker"), { mode: 0o755 });
      chmodSync(own, mode);
      chownSync(own, STRANGER, STRANGER);
      if (inner) chownSync(join(own, "broker"), STRANGER, STRANGER);
      const env: Record<string, string> = fallback ? { XDG_RUNTIME_DIR: join(world.root, "x".repeat(100)) } : {};
      const refused =
        /\[DIRECTORY_INSECURE\] directory \/tmp\/running-process-\d+(\/broker)? cannot be trusted: it belongs to uid 65534, expected \d+.*(have uid 65534 remove it|name a directory of your own)/;
      for (const args of [
        ["status"],
        ["list-instances"],
        ["serve"],
        ["connect", "tool", "1.0.0"],
        ["connect", "tool", "1.0.0", "--no-start"],
        ["healthz"],
      ]) {
        const { code, stderr } = await run([process.execPath, RPB, ...args], { env });
        assert.equal(code, 77, `${args[0]}: ${stderr}`);
        assert.match(stderr, refused);
        assert.doesNotMatch(stderr, /connect \/tmp/);
      }
      assert.deepEqual(readdirSync(own), inner ? ["broker"] : []);
    });
  }
}

test("without a runtime directory everything works below /tmp, and below another user's directory nothing is made", {
  skip,
}, async (t) => {
  const { uid, world, ask, rpb, run } = await createUser(t, { runtimeDirectory: false });
  assert.equal((await ask()).answer, "hello");
  assert.equal(lstatSync(`/tmp/running-process-${uid}`).mode & 0o7777, 0o700);
  assert.equal((await rpb("stop", "--all", "--with-backends")).code, 0);
  const foreign = join(world.root, "foreign");
  mkdirSync(foreign);
  chmodSync(foreign, 0o777);
  chownSync(foreign, STRANGER, STRANGER);
  const added = await run([process.execPath, RPB, "service", "add", "x", "--binary", process.execPath], {
    env: { XDG_CONFIG_HOME: foreign },
  });
  assert.equal(added.code, 77);
  assert.match(
    added.stderr,
    /\[DIRECTORY_INSECURE\] directory .*\/foreign cannot be trusted: it belongs to uid 65534, expected \d+: .* is not created in it/,
  );
  assert.equal(existsSync(join(foreign, "running-process")), false);
});
