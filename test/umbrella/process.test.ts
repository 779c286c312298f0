/** Processes in which something of their own lacks: descriptors, files that can be read, a working directory, variables. */
import assert from "node:assert/strict";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ERROR_TABLE } from "../../src/base/errors.ts";
import { COMPAT, type Finished, RPB } from "../support/world.ts";
import { assertCoded, demoWorld, NODE, REACH, reached, shell, stopAll, VERBS } from "./support/surroundings.ts";

/** Node ran out of descriptors before a line of ours had run. An error that came through our own code has a frame of it. */
function isOfNodeItself({ stderr }: Finished): boolean {
  return /^node:|Error: EMFILE|too many open files/im.test(stderr) && !/dist\/(cli|client)\/.*:\d+:\d+/.test(stderr);
}

test("whatever number of descriptors there is, an answer comes with a code", async (t) => {
  const world = await demoWorld(t);
  const limited = (limit: number, words: string): Promise<Finished> =>
    shell(world, `exec prlimit --nofile=${limit}:${limit} "$0" ${words}`);
  let least = 14;
  // Below that Node itself does not start.
  while ((await limited(least, `-e 0`)).code !== 0) least += 1;
  const broker = await world.startBroker();
  const seen = { negotiated: 0, fallback: 0, answered: 0, coded: 0, nodeItself: 0 };
  for (let limit = least; limit < least + 16; limit++) {
    const [reach, status, check] = await Promise.all([
      limited(limit, REACH),
      limited(limit, `${RPB} status`),
      limited(limit, `${RPB} connect demo 1.0.0`),
    ]);
    if (!/^\{/m.test(reach.stdout)) {
      assert.ok(isOfNodeItself(reach), `${limit}: ${reach.stdout}${reach.stderr}`);
      seen.nodeItself += 1;
    } else {
      const { route, fallback, thrown } = reached(reach);
      assert.ok(route === "negotiated" || (route === "fallback" && fallback === "IO_FAILED"), `${limit}: ${thrown}`);
      seen[route] += 1;
    }
    for (const finished of [status, check]) {
      if (isOfNodeItself(finished)) seen.nodeItself += 1;
      else {
        assertCoded(finished, `${limit}`);
        seen[finished.code === 0 ? "answered" : "coded"] += 1;
      }
    }
  }
  t.diagnostic(JSON.stringify(seen));
  // Each kind of end was met, or the limits were too few or too many to tell anything.
  assert.ok(seen.negotiated > 0 && seen.answered > 0, "with enough of them everything works");
  assert.ok(seen.fallback + seen.coded > 0, "and with fewer our own code fails");
  await stopAll(world);
  await broker.ended;
});

test("the first call of a process finds its files unreadable, one after the other", async (t) => {
  const world = await demoWorld(t);
  const broker = await world.startBroker();
  const errnos = ["EMFILE", "EACCES", "EIO"];
  const met = new Set<string>();
  const once = async (call: string, at: number): Promise<void> => {
    const env = { CALL: call, FAULT_AT: String(at), FAULT_ERRNO: errnos[at % errnos.length] as string };
    const { route, fallback, thrown, message } = reached(await world.run(NODE, [REACH], { env }));
    const what = `${call}, call ${at}: ${route}, ${thrown}, ${message}`;
    if (thrown !== undefined || route === "fallback") {
      assert.ok(fallback !== undefined, `the fallback was asked: ${what}`);
      met.add(fallback);
    }
    for (const code of [thrown, fallback])
      if (code !== undefined) assert.match(code, /^(IO_FAILED|PLATFORM_UNS)/, what);
    if (call === "connect") assert.equal(thrown, undefined, what);
  };
  for (let at = 1; at <= 12; at += 1) await Promise.all([once("connect", at), once("openSession", at)]);
  assert.ok(met.has("IO_FAILED"), [...met].join());
  await stopAll(world);
  await broker.ended;
});

test("an error past every handler of a program is one line with a code", async (t) => {
  const world = await demoWorld(t);
  const late = join(world.root, "late.cjs");
  writeFileSync(late, `process.nextTick(() => { throw Object.assign(new Error("late"), { code: "EMFILE" }); });`);
  for (const program of [RPB, COMPAT]) {
    const finished = await world.run(NODE, ["--require", late, program, "status"]);
    assert.equal(finished.code, ERROR_TABLE.IO_FAILED.exit, finished.stderr);
    assert.match(finished.stderr, /^rpb: \[IO_FAILED\] .*EMFILE.*\n$/);
  }
});

test("in a directory that was removed only relative paths fail", async (t) => {
  const world = await demoWorld(t);
  const gone = (words: string): Promise<Finished> =>
    shell(world, `d=$(mktemp -d ${world.root}/gone.XXXXXX); cd $d; rmdir $d; exec "$0" ${words}`);
  assert.equal(reached(await gone(REACH)).route, "negotiated");
  await Promise.all(VERBS.map(async (verb) => assertCoded(await gone(`${RPB} ${verb}`), verb)));
  for (const verb of ["diagnose --output x.tar.gz", "release-handles x", "service add x --binary /bin/true --cwd y"]) {
    const failed = await gone(`${RPB} ${verb}`);
    assert.equal(failed.code, ERROR_TABLE.IO_FAILED.exit, `${verb}: ${failed.stderr}`);
    assert.match(failed.stderr, /working directory.*change to another one/);
  }
  await stopAll(world);
});

test("without PATH, machine id or temporary directory, with an odd environment, in a worker, from the command line", async (t) => {
  const world = await demoWorld(t);
  const code = `import(process.env.REACH_SCRIPT)`;
  const ways: [string, string][] = [
    ["TMPDIR=/nowhere TERM= LANG=xx LC_ALL=xx TZ=xx NODE_ENV=", `"$0" ${REACH}`],
    ["-u HOME", `"$0" ${REACH}`],
    ["RUNNING_PROCESS_BROKER_V1_SOCKET= RUNNING_PROCESS_SERVICE_DEF_DIR= XDG_DATA_HOME=", `"$0" ${REACH}`],
    ["A=1", `"$0" -e "${code}"`],
    ["A=1", `"$0" --input-type=module -e "await ${code}"`],
    ["A=1", `"$0" -e "new (require('node:worker_threads').Worker)(process.env.REACH_SCRIPT)"`],
  ];
  for (const [env, command] of ways) {
    const finished = await shell(world, `exec env ${env} REACH_SCRIPT=${REACH} ${command}`);
    assert.equal(reached(finished).route, "negotiated", `${env} ${command}: ${finished.stdout}`);
  }
  await stopAll(world);
  // The backend is a script of "env node".
  const lost = reached(await shell(world, `exec env PATH=/nowhere "$0" ${REACH}`));
  assert.equal(lost.fallback, "BACKEND_SPAWN_FAILED");
  assert.match(lost.message ?? "", /node.*No such file/);
  await stopAll(world);
  assert.deepEqual(readdirSync(world.runtime), []);
});
