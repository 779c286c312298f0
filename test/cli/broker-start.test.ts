/** What comes between a broker's first accept and the wait for its end. */
import assert from "node:assert/strict";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { adminRequest } from "../../src/exchange/admin-client.ts";
import { AdminVerb } from "../../src/wire/messages.ts";
import { createWorld, RPB, type World } from "../support/world.ts";

/** `rpb` behind statements that change its surroundings; not by `--require`, which the programs take notice of. */
function changed(world: World, statements: string): string {
  const script = join(world.root, "changed.cjs");
  writeFileSync(script, `${statements}\nrequire(${JSON.stringify(RPB)});\n`);
  return script;
}

/** Guards against a broker that ended right after its start: what finds the debugger is not there. */
test("a broker runs on a Node that was built without the inspector", async (t) => {
  const world = await createWorld(t);
  const script = changed(
    world,
    `const get = process.getBuiltinModule;
     process.getBuiltinModule = (id) => (/^(node:)?inspector/.test(id) ? undefined : get.call(process, id));`,
  );
  const broker = await world.startBroker(["--socket", join(world.root, "b.sock")], { script });
  const { exitCode } = await adminRequest(world.platform, broker.endpoint, { verb: AdminVerb.HEALTHZ });
  assert.equal(exitCode, 0);
  assert.equal((await broker.stop()).code, 0);
});

for (const [what, statements] of [
  ["the debugger cannot be closed", `require("node:inspector").url = () => { throw new Error("no such luck"); };`],
  [
    "the heap cannot be kept small",
    `require("node:v8").setFlagsFromString = () => { throw new Error("no such luck"); };`,
  ],
] as const) {
  test(`a broker that accepts already is ended in order when ${what}`, async (t) => {
    const world = await createWorld(t);
    const before = readdirSync(world.root).length;
    const script = changed(world, statements);
    const { code, stderr } = await world.run(process.execPath, [
      script,
      ...["serve", "--log-format", "json", "--socket", join(world.root, "b.sock")],
    ]);
    assert.equal(code, 70);
    assert.match(stderr, /"type":"broker-started"/);
    assert.match(stderr, /"type":"broker-stopped"/);
    assert.match(stderr, /\[INTERNAL\].*no such luck/);
    assert.equal(readdirSync(world.root).length, before + 1, "neither socket nor lock is left");
  });
}
