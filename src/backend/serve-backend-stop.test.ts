/** The end of a backend, and its sidecar. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { deferred, echo, platform, rejectsConnection, start } from "../../test/backend/support/serving.ts";
import { request, textOf } from "../../test/support/peers/raw-client.ts";
import { hasCode } from "../base/errors.ts";
import { createManualClock } from "../testing/manual-clock.ts";
import { readIdentityFile } from "./identity-file.ts";

test("stop refuses new clients at once, lets requests in flight finish, and cleans up", async (t) => {
  const gate = deferred();
  const running = deferred();
  const stopped: string[] = [];
  const { backend, path, connect } = await start(t, {
    protocol: 0xf001,
    onStop: () => void stopped.push(`${existsSync(path)}`),
    handle: async ({ payload }) => {
      running.resolve();
      await gate.promise;
      return payload;
    },
  });
  const [busy, idle] = [await connect(), await connect()];
  busy.socket.write(request("last words"));
  await running.promise;
  const stopping = backend.stop();
  await idle.over;
  await rejectsConnection(path);
  assert.equal(existsSync(path), false);
  assert.equal(existsSync(`${path}.lock`), false, "a successor can start while we drain");
  assert.deepEqual(stopped, [], "onStop waits for the last connection");
  gate.resolve();
  assert.equal(textOf(await busy.frame()), "last words");
  await busy.over;
  await stopping;
  assert.deepEqual(stopped, ["false"]);
  assert.equal(await backend.closed, "requested");
  assert.equal(backend.connections, 0);
  await backend.stop();
});

test("when the time for stopping is up, what still runs is cut off and told so", async (t) => {
  const reasons: unknown[] = [];
  const running = deferred();
  const { backend, connect } = await start(t, {
    protocol: 0xf001,
    stopTimeoutMs: 1,
    handle: ({ signal }) => {
      signal.addEventListener("abort", () => reasons.push(signal.reason));
      running.resolve();
      return new Promise<Uint8Array>(() => {});
    },
  });
  const client = await connect();
  client.socket.write(request("never"));
  await running.promise;
  await backend.stop();
  await client.over;
  assert.ok(hasCode(reasons[0], "CONNECTION_CLOSED"));
});

test("an onStop that hangs or throws does not keep the backend from ending", async (t) => {
  const hanging = await start(t, {
    protocol: 0xf001,
    handle: echo,
    stopTimeoutMs: 1,
    onStop: () => new Promise<void>(() => {}),
  });
  await hanging.backend.stop();
  const fault = new Error("cannot save");
  const throwing = await start(t, {
    protocol: 0xf001,
    handle: echo,
    onStop: () => {
      throw fault;
    },
  });
  await throwing.backend.stop();
  assert.deepEqual(throwing.errors, [fault]);
});

test("a stop while loading tells load, and does not wait for it when no connection does", async (t) => {
  const told = deferred();
  const { backend } = await start<string>(t, {
    protocol: 0xf001,
    handle: echo,
    load: ({ signal }) => {
      signal.addEventListener("abort", () => told.resolve());
      return new Promise<string>(() => {});
    },
  });
  await backend.stop();
  await told.promise;
  assert.equal(await backend.closed, "requested");
});

test("the sidecar appears with the identity and is gone after the stop", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "rpw-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const sidecarPath = join(directory, "daemon-identity.json");
  const { backend } = await start(t, { protocol: 0xf001, handle: echo, sidecarPath });
  const identity = await backend.identity;
  const written = readIdentityFile(platform.files, sidecarPath);
  assert.equal(written?.pid, identity.pid);
  assert.deepEqual(written?.endpoint, identity.endpoint);
  await backend.stop();
  assert.equal(existsSync(sidecarPath), false);
});

test("a sidecar that cannot be written is reported and spoils nothing else", async (t) => {
  const { backend, connect, errors } = await start(t, {
    protocol: 0xf001,
    handle: echo,
    sidecarPath: "/nonexistent/x.json",
  });
  await backend.identity;
  const client = await connect();
  client.socket.write(request("fine"));
  assert.equal(textOf(await client.frame()), "fine");
  assert.ok(hasCode(errors[0], "IO_FAILED"));
});

test("handleSignals: false leaves the signals alone", async (t) => {
  const onTerminationSignal = (): never => assert.fail("it listened");
  await start(t, { protocol: 0xf001, handle: echo, handleSignals: false }, { onTerminationSignal });
});

/** Guards against a daemon that was ended by a signal, although it would have ended by itself, because it was still hashing. */
test("what keeps a daemon alive after its stop has its time once the server's own work is over", async (t) => {
  const clock = createManualClock();
  const hash = deferred<Uint8Array>();
  const ended: string[] = [];
  let signal: (signal: "SIGTERM" | "SIGINT") => void = () => {};
  const { backend } = await start(
    t,
    { protocol: 0xf001, handle: echo },
    {
      platform: {
        ...platform,
        clock,
        files: Object.assign(Object.create(platform.files), { sha256Executable: () => hash.promise }),
        processes: Object.assign(Object.create(platform.processes), { endBySignal: (by: string) => ended.push(by) }),
      },
      onTerminationSignal: (callback) => {
        signal = callback;
        return { dispose() {} };
      },
    },
  );
  signal("SIGINT");
  assert.equal(await backend.closed, "signal");
  clock.advance(60_000);
  assert.deepEqual(ended, []);
  hash.resolve(new Uint8Array(32));
  await backend.identity;
  await new Promise(setImmediate);
  clock.advance(2_999);
  assert.deepEqual(ended, []);
  clock.advance(1);
  assert.deepEqual(ended, ["SIGINT"]);
});
