import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { Deadline } from "../base/clock.ts";
import { BrokerError, hasCode } from "../base/errors.ts";
import { loadPlatform } from "../platform/platform.ts";
import type { Listener } from "../platform/ports/index.ts";
import { fdOf } from "../platform/posix/descriptors.ts";
import { type ClaimOptions, claimEndpoint } from "./claim-endpoint.ts";

const platform = await loadPlatform();

function place(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), "rpc-"));
  t.after(() => rmSync(directory, { recursive: true }));
  return join(directory, "s");
}

function options(path: string, more: Partial<ClaimOptions<Listener>> = {}): ClaimOptions<Listener> {
  return {
    platform,
    launchEnv: {},
    endpoint: path,
    bind: (address) => platform.transport.listen(address.path),
    adopt: (listener) => listener,
    discard: (listener) => listener.close(),
    ...more,
  };
}

/** What a crashed backend leaves: a socket file nobody listens on. */
function leaveStaleSocket(path: string): void {
  platform.transport.listen(path).close();
  assert.ok(existsSync(path));
}

function inUse(error: unknown): boolean {
  return hasCode(error, "ENDPOINT_IN_USE");
}

test("an address that does not fit is refused by the name of the option or variable that gives it", async () => {
  const long = `/${"x".repeat(107)}`;
  for (const [path, launchEnv, source] of [
    [long, {}, "option endpoint"],
    ["/unused", { RUNNING_PROCESS_BROKER_V1_BACKEND_PIPE: long }, "RUNNING_PROCESS_BROKER_V1_BACKEND_PIPE"],
  ] as const)
    await assert.rejects(
      claimEndpoint(options(path, { launchEnv })),
      (error) =>
        hasCode(error, "PATH_TOO_LONG") &&
        error.message.includes("has 108 bytes, Linux sun_path holds 107") &&
        error.message.includes(`(from ${source}; give a shorter one)`),
    );
});

test("a claim binds, says in the lock file who it is, and leaves nothing behind", async (t) => {
  const path = place(t);
  const launchEnv = { RUNNING_PROCESS_BROKER_V1_SERVICE_NAME: "fmt" };
  const claim = await claimEndpoint(options(path, { launchEnv, service: "other", version: "1.2.3" }));
  assert.deepEqual(JSON.parse(readFileSync(`${path}.lock`, "utf8")), {
    pid: process.pid,
    service: "fmt",
    version: "1.2.3",
  });
  assert.equal(claim.adopted, false);
  assert.deepEqual(claim.address, { path, namespaceId: "direct" });
  claim.listener.close();
  claim.release();
  claim.release();
  assert.equal(existsSync(path), false);
  assert.equal(existsSync(`${path}.lock`), false);
});

test("an endpoint that is held is refused by name of its holder, and stays untouched", async (t) => {
  const path = place(t);
  const first = await claimEndpoint(options(path, { service: "fmt" }));
  await assert.rejects(
    claimEndpoint(options(path)),
    (error) => inUse(error) && String(error).includes(`"pid":${process.pid},"service":"fmt"`),
  );
  assert.ok(existsSync(path));
  first.release();
  first.listener.close();
});

test("a socket left by a crash is replaced", async (t) => {
  const path = place(t);
  leaveStaleSocket(path);
  const claim = await claimEndpoint(options(path));
  assert.ok(existsSync(path));
  claim.release();
  claim.listener.close();
  assert.equal(existsSync(path), false);
});

test("a live program without a lock keeps its socket", async (t) => {
  const path = place(t);
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(path, resolve));
  t.after(() => server.close());
  await assert.rejects(claimEndpoint(options(path)), inUse);
  await new Promise<void>((resolve, reject) => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve();
    }).on("error", reject);
  });
  assert.equal(existsSync(`${path}.lock`), false, "the lock taken for the check is let go");
});

test("a live program that is too busy to accept keeps its socket", async (t) => {
  const path = place(t);
  const busy = platform.transport.listen(path, { backlog: 0 });
  const waiting = await platform.transport.connect(path, Deadline.after(platform.clock, 1000));
  t.after(() => {
    waiting.close();
    busy.close();
  });
  await assert.rejects(claimEndpoint(options(path)), inUse);
  assert.ok(existsSync(path));
});

test("what is no socket is never removed", async (t) => {
  const path = place(t);
  writeFileSync(path, "precious");
  await assert.rejects(claimEndpoint(options(path)), inUse);
  assert.equal(readFileSync(path, "utf8"), "precious");
  rmSync(path);
  const target = `${path}.target`;
  leaveStaleSocket(target);
  symlinkSync(target, path);
  await assert.rejects(claimEndpoint(options(path)), inUse);
  assert.ok(existsSync(target));
});

test("a lock held by somebody else undoes the bind", async (t) => {
  const path = place(t);
  const lock = platform.locks.tryAcquire(`${path}.lock`);
  assert.ok(lock);
  const discarded: Listener[] = [];
  const discard = (listener: Listener): void => {
    discarded.push(listener);
    listener.close();
  };
  await assert.rejects(
    claimEndpoint(options(path, { discard })),
    (error) => inUse(error) && String(error).includes("has not said who it is"),
  );
  assert.equal(discarded.length, 1);
  assert.equal(existsSync(path), false);
  lock.release();
});

test("a lock held only for a moment is waited for", async (t) => {
  const path = place(t);
  const lock = platform.locks.tryAcquire(`${path}.lock`);
  assert.ok(lock);
  const claiming = claimEndpoint(options(path));
  assert.ok(existsSync(path), "bound at once, in the same turn");
  lock.release();
  const claim = await claiming;
  claim.release();
  claim.listener.close();
});

test("a socket file that replaced ours is not removed on release", async (t) => {
  const path = place(t);
  const claim = await claimEndpoint(options(path));
  renameSync(path, `${path}.old`);
  leaveStaleSocket(path);
  claim.release();
  claim.listener.close();
  assert.ok(existsSync(path));
});

test("a fault of bind is thrown as it is, and no lock file is left", async (t) => {
  const path = place(t);
  const fault = new BrokerError("IO_FAILED", "no", { details: { errno: "EACCES" } });
  const bind = (): Listener => {
    throw fault;
  };
  await assert.rejects(claimEndpoint(options(path, { bind })), (error) => error === fault);
  assert.equal(existsSync(`${path}.lock`), false);
});

test("an inherited listener is adopted, locked, and its socket file left to whoever bound it", async (t) => {
  const path = place(t);
  const fd = platform.transport.listen(path).takeFd();
  const launchEnv = {
    RUNNING_PROCESS_BROKER_LISTENER_FD: ` ${fd}\n`,
    RUNNING_PROCESS_BROKER_V1_BACKEND_PIPE: path,
    RUNNING_PROCESS_BROKER_V1_BACKEND_NAMESPACE: "shared",
  };
  const claim = await claimEndpoint(
    options("/nonexistent", { launchEnv, bind: () => assert.fail("bound a second time") }),
  );
  assert.ok(claim.adopted);
  assert.equal(fdOf(claim.listener.transferable), fd);
  assert.deepEqual(claim.address, { path, namespaceId: "shared" });
  assert.ok(existsSync(`${path}.lock`));
  claim.listener.close();
  claim.release();
  assert.ok(existsSync(path));
  assert.equal(existsSync(`${path}.lock`), false);
});

test("an inherited descriptor that does not listen ends the launch; nothing is bound instead", async (t) => {
  const path = place(t);
  for (const fd of ["0", "900"]) {
    const launchEnv = { RUNNING_PROCESS_BROKER_LISTENER_FD: fd };
    await assert.rejects(claimEndpoint(options(path, { launchEnv })), (error) => hasCode(error, "LISTENER_INVALID"));
  }
  assert.equal(existsSync(path), false);
});
