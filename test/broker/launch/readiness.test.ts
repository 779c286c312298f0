/** When a launched backend counts as ready (design: `exec.bind`, `exec.ready`). */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import test from "node:test";
import { createLaunching, makeFifo } from "../../support/launching.ts";
import { converse } from "../../support/peers/raw-peer.ts";

const NOTHING = Buffer.alloc(0);

test("a backend that binds late is waited for, whoever binds", async (t) => {
  const launching = await createLaunching(t);
  const { world } = launching;
  for (const bind of ["broker", "backend"]) {
    await t.test(`exec.bind = ${bind}`, async () => {
      const started = makeFifo(join(world.root, `started-${bind}`));
      const go = makeFifo(join(world.root, `go-${bind}`));
      const labels = { "exec.bind": bind, "exec.env.STARTED": started, "exec.env.GO": go };
      world.define({ serviceName: bind, binary: "waits.mjs", labels });
      let answered = false;
      const negotiated = launching.negotiated(bind).finally(() => {
        answered = true;
      });
      assert.ok(Number(await readFile(started, "utf8")) > 1);
      // It runs, it has not bound, and nobody has been told anything.
      assert.equal(answered, false);
      assert.equal(launching.pids(bind).length, 0);
      await writeFile(go, "");
      await negotiated;
      assert.equal(launching.pids(bind).length, 1);
    });
  }
});

test("listen: an unmodified daemon gets its socket as descriptor 3, with LISTEN_PID its own pid", async (t) => {
  const launching = await createLaunching(t);
  launching.world.define({ serviceName: "svc", binary: "plain-server.mjs", labels: { "exec.ready": "listen" } });
  const { backendPipe } = await launching.negotiated("svc");
  const [pid] = launching.pids("svc");
  // The daemon may still be loading: this connection waits in the backlog.
  assert.deepEqual(JSON.parse(String(await converse(backendPipe, NOTHING))), {
    pid,
    LISTEN_FDS: "1",
    LISTEN_PID: String(pid),
  });
});

test("listen: a shell script counts once the shell that set LISTEN_PID has become it", async (t) => {
  const launching = await createLaunching(t);
  const { world } = launching;
  const binaryPath = join(world.root, "bin", "daemon.sh");
  await writeFile(binaryPath, '#!/bin/sh\n[ "$LISTEN_PID" = $$ ] || exit 9\nsleep 600 & wait\n', { mode: 0o755 });
  world.define({ serviceName: "svc", binaryPath, labels: { "exec.ready": "listen" } });
  await launching.negotiated("svc");
  const [pid] = launching.pids("svc");
  assert.deepEqual(world.platform.processes.inspect(pid as number)?.argv, ["/bin/sh", binaryPath]);
});

test("listen: a text file without an interpreter line is never taken for a daemon", async (t) => {
  const launching = await createLaunching(t);
  const { world } = launching;
  const binaryPath = join(world.root, "bin", "text");
  await writeFile(binaryPath, "sleep 600\n", { mode: 0o755 });
  const labels = { "exec.ready": "listen", "exec.ready_timeout": "300ms" };
  world.define({ serviceName: "svc", binaryPath, labels });
  const { reason } = await launching.refused("svc");
  assert.match(reason, /^backend spawn failed: backend was not ready in time: backend identity mismatch: exe_path is /);
  assert.deepEqual(launching.leftovers(), []);
});

test("connect: an unmodified daemon is told where to bind by its arguments", async (t) => {
  const launching = await createLaunching(t);
  launching.world.define({
    serviceName: "svc",
    binary: "plain-server.mjs",
    labels: { "exec.bind": "backend", "exec.ready": "connect", "exec.args": '["{endpoint}"]' },
  });
  const { backendPipe } = await launching.negotiated("svc");
  const answer = JSON.parse(String(await converse(backendPipe, NOTHING))) as object;
  assert.deepEqual(answer, { pid: launching.pids("svc")[0] });
});

test("connect: a process of another session that listens at the endpoint is not taken for the daemon", async (t) => {
  const launching = await createLaunching(t);
  const { world } = launching;
  const told = makeFifo(join(world.root, "told"));
  const binaryPath = join(world.root, "bin", "tells.sh");
  // Tells its endpoint and binds nothing itself.
  await writeFile(binaryPath, '#!/bin/sh\nprintf %s "$1" > "$TOLD"\nsleep 600 & wait\n', { mode: 0o755 });
  world.define({
    serviceName: "svc",
    binaryPath,
    labels: {
      "exec.bind": "backend",
      "exec.ready": "connect",
      "exec.ready_timeout": "10m",
      "exec.args": '["{endpoint}"]',
      "exec.env.TOLD": told,
    },
  });
  const refusal = launching.refused("svc");
  const endpoint = await readFile(told, "utf8");
  const squatter = world.track(
    spawn(world.install("plain-server.mjs"), [endpoint], { env: world.env, detached: true }),
  );
  const { reason, details } = await refusal;
  assert.match(reason, new RegExp(`its endpoint is served by process ${squatter.pid}, expected \\d+$`));
  assert.equal(details.check, "listener");
  squatter.kill("SIGKILL");
  await once(squatter, "exit");
  assert.deepEqual(launching.leftovers(), []);
});

for (const [what, prefix] of [
  ["of the daemon's own session", ""],
  ["that the daemon started in a session of its own", "setsid "],
] as const) {
  test(`connect: a worker ${what} may be the one that listens`, async (t) => {
    const launching = await createLaunching(t);
    const { world } = launching;
    const worker = world.install("plain-server.mjs");
    const binaryPath = join(world.root, "bin", "forks.sh");
    await writeFile(binaryPath, `#!/bin/sh\n${prefix}${worker} "$1" & wait; sleep 600 & wait\n`, { mode: 0o755 });
    world.define({
      serviceName: "svc",
      binaryPath,
      labels: { "exec.bind": "backend", "exec.ready": "connect", "exec.args": '["{endpoint}"]' },
    });
    const { backendPipe } = await launching.negotiated("svc");
    assert.ok((JSON.parse(String(await converse(backendPipe, NOTHING))) as { pid: number }).pid > 0);
  });
}
