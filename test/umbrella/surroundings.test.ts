/** Real surroundings in which something of the machine lacks: /proc, an account, a home directory, devices, rights. */
import assert from "node:assert/strict";
import { chownSync, cpSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ERROR_TABLE } from "../../src/base/errors.ts";
import { COMPAT, type Finished, PROJECT, RPB } from "../support/world.ts";
import {
  AS_ROOT,
  assertCoded,
  demoWorld,
  ENTRY,
  REACH,
  reached,
  shell,
  stopAll,
  VERBS,
} from "./support/surroundings.ts";

test("without /proc a client starts no broker, again and again, and reaches one that runs", AS_ROOT, async (t) => {
  const world = await demoWorld(t);
  const without = (script: string): Promise<Finished> =>
    shell(world, `exec unshare -m /bin/bash -ec 'umount -l /proc; ${script}' "$0"`);
  for (let round = 0; round < 2; round++) {
    const { route, fallback, message } = reached(await without(`exec "$0" ${REACH}`));
    assert.deepEqual([route, fallback], ["fallback", "PLATFORM_UNSUPPORTED"]);
    assert.match(message ?? "", /\/proc is not mounted.*mount -t proc/);
    assert.deepEqual(world.processes(), [], "no broker was started");
  }
  const served = await without(`exec "$0" ${RPB} serve`);
  assert.equal(served.code, ERROR_TABLE.PLATFORM_UNSUPPORTED.exit, served.stderr);
  assertCoded(served, "serve");
  await Promise.all(VERBS.map(async (verb) => assertCoded(await without(`exec "$0" ${RPB} ${verb}`), verb)));
  assertCoded(await without(`exec "$0" ${COMPAT} status`), "compat status");
  // The broker has its own /proc; the client needs none to be connected.
  const broker = await world.startBroker();
  assert.equal(reached(await without(`exec "$0" ${REACH}`)).route, "negotiated");
  await stopAll(world);
  await broker.ended;
});

test("a user without an account: everything works, or says what to set", AS_ROOT, async (t) => {
  const world = await demoWorld(t);
  const uid = 54321;
  const home = join(world.root, "h");
  const run = world.root;
  mkdirSync(home, { mode: 0o700 });
  for (const directory of [home, run]) chownSync(directory, uid, uid);
  const base = `env -i PATH="$PATH" CLIENT_ENTRY=${ENTRY} XDG_RUNTIME_DIR=${run}`;
  const as = (env: string, words: string): Promise<Finished> =>
    shell(world, `cd /; exec setpriv --reuid=${uid} --regid=${uid} --clear-groups ${base} ${env} "$0" ${words}`);
  for (const env of ["", "HOME=", "HOME=relative"]) {
    const { route, fallback, message } = reached(await as(env, REACH));
    assert.deepEqual([route, fallback], ["fallback", "HOME_UNKNOWN"], env);
    assert.match(message ?? "", /set HOME, or .*RUNNING_PROCESS_SERVICE_DEF_DIR/);
    for (const verb of ["service list", "service add x --binary /bin/true", "connect demo 1.0.0"]) {
      const failed = await as(env, `${RPB} ${verb}`);
      assert.equal(failed.code, ERROR_TABLE.HOME_UNKNOWN.exit, failed.stderr);
      assertCoded(failed, verb);
    }
    for (const verb of ["status", "events", "list-instances"]) assertCoded(await as(env, `${RPB} ${verb}`), verb);
  }
  // "/" is a home like any other: it may not be written to, and holds no definition.
  assert.equal(reached(await as("HOME=/", REACH)).fallback, "DEFINITION_NOT_FOUND");
  assertCoded(await as("HOME=/", `${RPB} service add x --binary /bin/true`), "service add in /");
  const program = join(home, "reverse.mjs");
  cpSync(world.install("reverse.mjs"), program);
  chownSync(program, uid, uid);
  const elsewhere = `RUNNING_PROCESS_SERVICE_DEF_DIR=${home}/defs`;
  for (const env of [elsewhere, `HOME=/ ${elsewhere}`, `HOME=${home}`]) {
    const added = await as(env, `${RPB} service add demo --isolation shared --binary ${program}`);
    assert.equal(added.code, 0, added.stderr);
    const there = reached(await as(env, REACH));
    assert.equal(there.route, "negotiated", there.message);
    const logs = await as(env, `${RPB} logs demo`);
    assert.deepEqual([logs.code, logs.stderr], [0, ""]);
    const stopped = await as(env, `${RPB} stop --all --with-backends`);
    assert.equal(stopped.code, 0, stopped.stderr);
  }
});

test(
  "without /dev/null and a machine id, on a read-only file system, and without the right to load native code",
  AS_ROOT,
  async (t) => {
    const world = await demoWorld(t);
    const inside = (mounts: string, words: string): Promise<Finished> =>
      shell(world, `exec unshare -m /bin/bash -ec '${mounts}; exec "$0" ${words}' "$0"`);
    const noNull = "mount -t tmpfs none /dev";
    const { fallback, message } = reached(await inside(noNull, REACH));
    assert.equal(fallback, "BROKER_START_FAILED");
    assert.match(message ?? "", /\/dev\/null/);
    assertCoded(await inside(noNull, `${RPB} status`), "status");
    const noId = "for f in /etc/machine-id /var/lib/dbus/machine-id; do [ ! -e $f ] || mount --bind /dev/null $f; done";
    assert.equal(reached(await inside(noId, REACH)).route, "negotiated");
    assertCoded(await inside(`${noId}; umount -l /proc`, `${RPB} status`), "status");
    assert.equal((await inside(noId, `${RPB} stop --all --with-backends`)).code, 0);
    // What a failed start leaves for those who wait for it.
    for (const name of readdirSync(world.runtime)) rmSync(join(world.runtime, name));

    const readOnly = `mount --bind ${world.root} ${world.root}; mount -o remount,bind,ro ${world.root}`;
    const failed = reached(await inside(readOnly, REACH));
    assert.equal(failed.fallback, "IO_FAILED");
    assert.match(failed.message ?? "", /read-only/);
    await Promise.all(
      [...VERBS, "service add x --binary /bin/true"].map(async (verb) =>
        assertCoded(await inside(readOnly, `${RPB} ${verb}`), verb),
      ),
    );

    const native = join(PROJECT, "node_modules/@koromix");
    const noExec = `mount --bind ${native} ${native}; mount -o remount,bind,noexec ${native}`;
    const refused = reached(await inside(noExec, REACH));
    assert.equal(refused.fallback, "PLATFORM_UNSUPPORTED");
    assert.match(refused.message ?? "", /noexec/);
    const verdicts = await Promise.all(VERBS.map((verb) => inside(noExec, `${RPB} ${verb}`)));
    for (const verdict of verdicts) {
      assert.equal(verdict.code, ERROR_TABLE.PLATFORM_UNSUPPORTED.exit, verdict.stderr);
      assertCoded(verdict, "without native code");
    }
    assert.deepEqual(world.processes(), [], "no broker was started");
  },
);
