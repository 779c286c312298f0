/** `rpb release-handles` against a real broker and real backends. */
import assert from "node:assert/strict";
import { mkdirSync, realpathSync, symlinkSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { createWorld } from "../../support/world.ts";
import { rpb } from "../../support/world-cli.ts";
import { type Controlled, createControlled } from "./support/controlled.ts";

function tree(at: Controlled): string {
  const path = at.file("build");
  mkdirSync(path);
  writeFileSync(`${path}/index`, "");
  return realpathSync(path);
}

test("each backend is asked, and says whether it held the path; afterwards nobody does", async (t) => {
  const at = await createControlled(t);
  const build = tree(at);
  const holder = await at.launch("holds", { HOLDS: `${build}/index` });
  const other = await at.launch("other");
  assert.ok((await at.order("holds", "files")).includes(`${build}/index`));
  const first = await at.release(build, "--json");
  assert.deepEqual([first.code, first.stderr], [0, ""]);
  assert.deepEqual(JSON.parse(first.stdout), {
    schema_version: 1,
    command: "release-handles",
    path: build,
    brokers: [
      {
        endpoint: at.broker.endpoint,
        backends: [
          { service_name: "holds", service_version: "1.0.0", pid: holder, result: "released" },
          { service_name: "other", service_version: "1.0.0", pid: other, result: "nothing-held" },
        ],
      },
    ],
  });
  assert.ok(!(await at.order("holds", "files")).includes(build));
  const second = await at.release(build);
  assert.deepEqual(
    [second.code, second.stdout],
    [0, `holds  1.0.0  ${holder}  nothing-held\nother  1.0.0  ${other}  nothing-held\n`],
  );
});

test("a backend that is stopped, one that fails and one without means are told apart, and hold up nobody", async (t) => {
  const at = await createControlled(t);
  const build = tree(at);
  await at.launch("good", { HOLDS: `${build}/index` });
  const stopped = await at.launch("stopped");
  process.kill(stopped, "SIGSTOP");
  const result = async (...args: string[]): Promise<[number | null, Record<string, unknown>]> => {
    const { code, stdout } = await at.release(build, "--json", "--timeout", "300ms", ...args);
    const rows = JSON.parse(stdout).brokers[0].backends as Record<string, string>[];
    return [code, Object.fromEntries(rows.map((row) => [row.service_name, [row.result, row.detail]]))];
  };
  assert.deepEqual(await result(), [
    124,
    { good: ["released", undefined], stopped: ["timed-out", "the backend did not answer in time"] },
  ]);
  await at.launch("none", { RELEASE: "none" });
  await at.launch("fails", { RELEASE: "fails" });
  // The worst of them decides.
  const [code, rows] = await result();
  assert.equal(code, 1);
  assert.deepEqual(rows.fails, ["failed", "the index is being written"]);
  assert.deepEqual(rows.none, ["unsupported", undefined]);
  assert.deepEqual(rows.good, ["nothing-held", undefined]);
  process.kill(stopped, "SIGCONT");
  // What was asked of it meanwhile it does, and nobody mistakes that for an answer to this.
  const { stdout } = await at.release(build, "--json", "--timeout", "30s");
  const row = JSON.parse(stdout).brokers[0].backends.find((each: { pid: number }) => each.pid === stopped);
  assert.equal(row.result, "nothing-held");
});

test("a backend without means makes the whole uncertain, and the exit says so", async (t) => {
  const at = await createControlled(t);
  await at.launch("none", { RELEASE: "none" });
  const { code, stdout } = await at.release("/nowhere");
  assert.equal(code, 69);
  assert.match(stdout, /^none {2}1\.0\.0 {2}\d+ {2}unsupported\n$/);
});

test("a backend that knows the channel from its description alone is asked like any other", async (t) => {
  const at = await createControlled(t);
  await at.launch("hand", {}, "control-by-hand.mjs");
  const { code, stdout } = await at.release("/some/where/");
  assert.deepEqual([code, /hand.*nothing-held/.test(stdout)], [0, true]);
  const silent = await at.release("/hang", "--timeout", "50ms");
  assert.deepEqual([silent.code, /hand.*timed-out/.test(silent.stdout)], [124, true]);
  assert.deepEqual(at.journal("hand"), ["release /some/where true", "release /hang true"]);
});

test("links are resolved, relative paths made absolute, and what is not there is asked for as it is", async (t) => {
  const at = await createControlled(t);
  const build = tree(at);
  symlinkSync(build, at.file("link"));
  await at.launch("hand", {}, "control-by-hand.mjs");
  for (const path of [at.file("link"), `${at.file("link")}/../build/.`, "/not/there/../here"]) await at.release(path);
  assert.deepEqual(at.journal("hand"), [`release ${build} true`, `release ${build} true`, "release /not/here true"]);
});

test("without a broker nothing is held; one that only left its socket counts as none", async (t) => {
  const world = await createWorld(t);
  const none = await rpb(world, ["release-handles", "/w"]);
  assert.deepEqual([none.code, none.stdout, none.stderr], [0, "no backend runs\n", ""]);
  const killed = await world.startBroker();
  killed.process.kill("SIGKILL");
  await killed.ended;
  assert.equal((await rpb(world, ["release-handles", "/w"])).code, 0);
  // Named, it is missed.
  assert.equal((await rpb(world, ["release-handles", "/w", "--socket", killed.endpoint])).code, 69);
  assert.deepEqual(world.processes(), []);
  await (await world.startBroker()).stop();
});

test("without a selecting option every broker of the user is asked", async (t) => {
  const world = await createWorld(t);
  for (const serviceName of ["one", "two"]) {
    world.define({ serviceName, binary: "control-obeys.mjs" });
    assert.equal((await rpb(world, ["connect", serviceName, "1.0.0"])).code, 0);
  }
  const { code, stdout } = await rpb(world, ["release-handles", "/w"]);
  assert.equal(code, 0);
  assert.match(stdout, /^one .* nothing-held\ntwo .* nothing-held\n$/);
  await rpb(world, ["stop", "--all", "--with-backends"]);
});
