/** What may be a backend's binary, and how it is recognised in the kernel's view (spec: identity §5; design §5). */
import assert from "node:assert/strict";
import { copyFileSync, linkSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { createLaunching, type Launching } from "../../support/launching.ts";

/** The executable of the running Node, or another large one, under a path of its own. */
function nativeCopy(path: string): string {
  try {
    linkSync(process.execPath, path);
  } catch {
    copyFileSync(process.execPath, path);
  }
  return path;
}

/** A fixture with another first line. */
function withFirstLine(launching: Launching, line: string, name: string): string {
  const path = launching.world.install("waits.mjs", name);
  writeFileSync(path, readFileSync(path, "utf8").replace(/^#!.*/, line));
  return path;
}

test("scripts are recognised whatever their first line looks like", async (t) => {
  const launching = await createLaunching(t);
  const lines = [
    "#!/usr/bin/env node",
    `#!${process.execPath}`,
    `#! ${process.execPath} --no-warnings`,
    "#!/usr/bin/env -S node --no-warnings --no-deprecation",
  ];
  for (const [index, line] of lines.entries()) {
    await t.test(line, async () => {
      const serviceName = `script-${index}`;
      launching.world.define({ serviceName, binaryPath: withFirstLine(launching, line, `${serviceName}.mjs`) });
      await launching.negotiated(serviceName);
    });
  }
});

test("a script behind a link is run and recorded by its canonical path", async (t) => {
  const launching = await createLaunching(t);
  const { world } = launching;
  const script = world.install("waits.mjs", "real.mjs");
  const link = join(world.root, "bin", "link");
  symlinkSync(script, link);
  world.define({ serviceName: "svc", binaryPath: link });
  await launching.negotiated("svc");
  const [pid] = launching.pids("svc");
  assert.equal(world.platform.processes.inspect(pid as number)?.argv[1], script);
});

test("a script that renames its process is still taken for what was launched", async (t) => {
  const launching = await createLaunching(t);
  const { world } = launching;
  for (const title of ["short", "x".repeat(500)]) {
    const serviceName = `title-${title.length}`;
    world.define({ serviceName, binary: "obeys.mjs", labels: { "exec.env.TITLE": title } });
    await launching.negotiated(serviceName);
    const [pid] = launching.pids(serviceName);
    assert.ok(
      !world.platform.processes
        .inspect(pid as number)
        ?.argv.join(" ")
        .includes("obeys"),
    );
  }
});

test("a native binary is recognised by its own path and hash, its script argument notwithstanding", async (t) => {
  const launching = await createLaunching(t);
  const { world } = launching;
  const binaryPath = nativeCopy(join(world.root, "bin", "own-node"));
  const script = world.install("reverse.mjs");
  world.define({ serviceName: "svc", binaryPath, labels: { "exec.args": JSON.stringify([script]) } });
  await launching.negotiated("svc");
  assert.equal(world.platform.processes.inspect(launching.pids("svc")[0] as number)?.exePath, binaryPath);
});

test("an interpreter that runs another script than the one that was meant is not taken for it", async (t) => {
  const launching = await createLaunching(t);
  const { world } = launching;
  const server = world.install("plain-server.mjs");
  const binaryPath = join(world.root, "bin", "script.sh");
  // Keeps its pid and its interpreter and even names the script that was meant, behind the commands it really runs.
  writeFileSync(binaryPath, `#!/bin/sh\nexec /bin/sh -c '${server} "$1" & wait' "$0" "$1"\n`, { mode: 0o755 });
  world.define({
    serviceName: "svc",
    binaryPath,
    labels: { "exec.bind": "backend", "exec.ready": "connect", "exec.args": '["{endpoint}"]' },
  });
  assert.match((await launching.refused("svc")).reason, /identity mismatch: argv is "\/bin\/sh -c /);
  assert.deepEqual(launching.leftovers(), []);
});

test("{version} in the binary's path: two versions run side by side from two directories", async (t) => {
  const launching = await createLaunching(t);
  const { world } = launching;
  for (const version of ["1.0.0", "2.0.0-rc.1"]) {
    mkdirSync(join(world.root, "bin", version));
    world.install("waits.mjs", join(version, "tool.mjs"));
  }
  world.define({ serviceName: "svc", binaryPath: join(world.root, "bin", "{version}", "tool.mjs") });
  const one = await launching.negotiated("svc", "1.0.0");
  const two = await launching.negotiated("svc", "2.0.0-rc.1");
  assert.deepEqual([one.daemonVersion, two.daemonVersion], ["1.0.0", "2.0.0-rc.1"]);
  assert.notEqual(one.backendPipe, two.backendPipe);
  const scripts = launching.pids("svc").map((pid) => world.platform.processes.inspect(pid)?.argv[1]);
  assert.deepEqual(scripts, [join(world.root, "bin/1.0.0/tool.mjs"), join(world.root, "bin/2.0.0-rc.1/tool.mjs")]);
  assert.match(
    (await launching.refused("svc", "3.0.0")).reason,
    /bin\/3\.0\.0\/tool\.mjs" could not be canonicalized: ENOENT$/,
  );
});
