import assert from "node:assert/strict";
import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { createWorld, PROJECT, RPB, type World } from "../support/world.ts";

const README = readFileSync(join(PROJECT, "README.md"), "utf8");

/** The fenced block whose code names itself as `name` in a comment. */
function example(name: string): string {
  const blocks = [...README.matchAll(/```js\n([\s\S]*?)```/g)].map((match) => match[1] as string);
  const found = blocks.find((block) => block.includes(`// ${name}\n`));
  assert.ok(found, `README.md has an example ${name}`);
  return found;
}

function linesOf(code: string): number {
  return code.split("\n").filter((line) => line.trim() !== "" && !line.startsWith("//") && !line.startsWith("#!"))
    .length;
}

async function rpb(world: World, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await world.run(process.execPath, [RPB, ...args]);
  assert.equal(code, 0, `rpb ${args.join(" ")}: ${stderr}`);
  return stdout;
}

test("the README's daemon and client work as printed, in about ten lines each", async (t) => {
  const world = await createWorld(t);
  const project = join(world.root, "bin");
  mkdirSync(join(project, "node_modules"));
  symlinkSync(PROJECT.replace(/\/$/, ""), join(project, "node_modules/running-process-broker"));
  for (const name of ["shout.mjs", "client.mjs"]) {
    writeFileSync(join(project, name), example(name));
    assert.ok(linesOf(example(name)) <= 10, `${name} has ${linesOf(example(name))} lines`);
  }
  chmodSync(join(project, "shout.mjs"), 0o755);

  await rpb(world, "service", "add", "shout", "--binary", join(project, "shout.mjs"));
  const client = await world.run(process.execPath, [join(project, "client.mjs")]);
  assert.equal(client.stdout, "IS ANYBODY THERE?\n", client.stderr);

  assert.match(await rpb(world, "status"), /shout\s+1\.0\.0\s/);
  assert.match(await rpb(world, "connect", "shout", "1.0.0"), /negotiated/);
  await rpb(world, "service", "check", "shout");
  await rpb(world, "stop", "--service", "shout", "--with-backends");
  assert.deepEqual(world.processes(), []);
});

test("every option in the README's commands exists", async (t) => {
  const world = await createWorld(t);
  for (const program of ["/opt/cache/bin/cached", "/opt/index/bin/indexd"]) assert.ok(README.includes(program));
  await rpb(world, "service", "add", "cache", "--binary", "/opt/cache/bin/cached", "--ready", "listen");
  await rpb(
    world,
    "service",
    "add",
    "index",
    "--binary",
    "/opt/index/bin/indexd",
    "--ready",
    "connect",
    "--arg=--socket",
    "--arg={endpoint}",
  );
  const listed = await rpb(world, "service", "list");
  assert.match(listed, /cache/);
  assert.match(listed, /index/);
});
