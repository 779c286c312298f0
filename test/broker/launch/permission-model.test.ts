/**
 * Node's permission model (`node --permission`) turns fchmod(2) and fsync(2) off, whatever is allowed. Guards against their
 * return: files are created with their mode, and both calls are the C library's.
 */
import assert from "node:assert/strict";
import { chmodSync, lstatSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ERROR_TABLE } from "../../../src/base/errors.ts";
import { createLaunching } from "../../support/launching.ts";
import { createWorld, RPB } from "../../support/world.ts";

// Node 20 has it as --experimental-permission, in which the C library cannot be called.
const skip = !process.allowedNodeEnvironmentFlags.has("--permission") && "this Node has no --permission";
const FILES = ["--allow-fs-read=*", "--allow-fs-write=*"];
const BACKEND = ["--permission", "--allow-addons", ...FILES];
/** Node 25 asks for it. */
const NET = process.allowedNodeEnvironmentFlags.has("--allow-net") ? ["--allow-net"] : [];

for (const umask of ["022", "0177", "0777"])
  test(`an SDK backend under --permission and umask ${umask} starts, is proved and has private files`, {
    skip,
  }, async (t) => {
    const { world, negotiated } = await createLaunching(t);
    world.define({ serviceName: "svc" });
    const program = join(world.root, "bin/reverse.mjs");
    const source = readFileSync(program, "utf8")
      .replace("#!/usr/bin/env node", `#!/usr/bin/env -S ${process.execPath} ${[...BACKEND, ...NET].join(" ")}`)
      .replace("import { serve } from", `process.umask(0o${umask});\nconst { serve } = await import(`)
      .replace('index.js";', 'index.js");');
    assert.match(source, /await import/);
    writeFileSync(program, source);
    chmodSync(program, 0o755);
    assert.notEqual((await negotiated("svc")).backendPipe, "");
    const locks = readdirSync(world.runtime).filter((name) => name.endsWith(".lock"));
    assert.ok(locks.length > 0);
    for (const name of locks) assert.equal(lstatSync(join(world.runtime, name)).mode & 0o777, 0o600, name);
  });

test("a broker under --permission serves and launches", { skip }, async (t) => {
  const options = [...BACKEND, "--allow-child-process", ...NET].join(" ");
  const { world, negotiated } = await createLaunching(t, { NODE_OPTIONS: options });
  world.define({ serviceName: "svc" });
  assert.notEqual((await negotiated("svc")).backendPipe, "");
});

for (const { without, code, cure } of [
  {
    without: "--allow-fs-write=*",
    code: "IO_FAILED",
    cure: /--permission\) denies FileSystemWrite of \/.*: start Node with --allow-fs-write=\//,
  },
  { without: "--allow-addons", code: "PLATFORM_UNSUPPORTED", cure: /--allow-addons/ },
] as const)
  test(`what --permission denies is ${code} and names the option: ${without}`, { skip }, async (t) => {
    const world = await createWorld(t);
    const options = [...BACKEND, "--allow-child-process", ...NET].filter((option) => option !== without);
    const served = await world.run(process.execPath, [
      ...options,
      RPB,
      "serve",
      "--socket",
      join(world.root, "x/b.sock"),
    ]);
    assert.match(served.stderr, cure);
    assert.match(served.stderr, new RegExp(`\\[${code}\\]`));
    assert.equal(served.code, ERROR_TABLE[code].exit);
  });
