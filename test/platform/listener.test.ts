/** Listening sockets: private from their first moment, and only what is one is taken for one. */

import assert from "node:assert/strict";
import fs, { closeSync, mkdtempSync, openSync, rmSync, statSync } from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { Deadline } from "../../src/base/clock.ts";
import { hasCode } from "../../src/base/errors.ts";
import { loadPlatform } from "../../src/platform/platform.ts";
import type { Connection, Listener } from "../../src/platform/ports/index.ts";
import { fdOf, receivedOf } from "../../src/platform/posix/descriptors.ts";
import { AF_UNIX, close, SOCK_STREAM, socket } from "../../src/platform/posix/libc.ts";
import { createManualClock } from "../../src/testing/manual-clock.ts";
import { openOn } from "../support/peers/pairs.ts";
import { flagsOf, O_CLOEXEC, O_NONBLOCK } from "../support/process-facts.ts";

const SOCK_DGRAM = 2;
const { transport } = await loadPlatform();
const never = Deadline.never(createManualClock());

function temporary(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), "l"));
  t.after(() => rmSync(directory, { recursive: true }));
  return directory;
}

function nextConnection(listener: Listener): Promise<Connection> {
  return new Promise((resolve, reject) => {
    listener.accept({
      onConnection(connection) {
        listener.pause();
        resolve(connection);
      },
      onError: ({ errno }) => reject(new Error(errno)),
    });
  });
}

test("a socket file is closed to others whatever the umask, and its descriptors are close-on-exec", async (t) => {
  const path = join(temporary(t), "s");
  const umask = process.umask(0);
  t.after(() => process.umask(umask));
  const listener = transport.listen(path);
  t.after(() => listener.close());
  assert.equal(statSync(path).mode & 0o777, 0o600);
  const [near, far] = await Promise.all([transport.connect(path, never), nextConnection(listener)]);
  for (const fd of [fdOf(listener.transferable), fdOf(near.transferable), fdOf(far.transferable)])
    assert.equal(flagsOf(fd) & O_CLOEXEC, O_CLOEXEC);
  assert.deepEqual([near.peer.pid, far.peer.pid], [process.pid, process.pid]);
  near.close();
  far.close();
});

test("a paused listener leaves peers in the backlog, and one that accepts again finds them", async (t) => {
  const path = join(temporary(t), "s");
  const listener = transport.listen(path);
  t.after(() => listener.close());
  for (const text of ["one", "two"]) {
    const near = await transport.connect(path, never);
    await near.writeAll(Buffer.from(text), never);
    const far = await nextConnection(listener);
    assert.equal((await far.readExactly(3, never)).toString(), text);
    near.close();
    far.close();
  }
});

test("who comes alone is taken in by itself, and every so often it is tried whether others wait", async (t) => {
  const path = join(temporary(t), "s");
  const listener = transport.listen(path);
  const came: boolean[] = [];
  const open: Connection[] = [];
  t.after(() => {
    listener.close();
    for (const connection of open) connection.close();
  });
  let expected = 1;
  let all = (): void => {};
  const dial = async (count: number): Promise<void> => {
    expected = came.length + count;
    const taken = new Promise<void>((resolve) => {
      all = resolve;
    });
    open.push(...(await Promise.all(Array.from({ length: count }, () => transport.connect(path, never)))));
    await taken;
  };
  listener.accept({
    onConnection(connection, alone) {
      came.push(alone);
      connection.close();
      if (came.length === expected) all();
    },
    onError: ({ errno }) => assert.fail(errno),
  });
  await dial(1);
  assert.deepEqual(came, [false], "nothing is known of the first one");
  // Found out to be alone; the next sixteen are taken to be.
  await dial(40);
  assert.deepEqual(came.slice(1), [...Array(16).fill(true), ...Array(24).fill(false)]);
  await dial(2);
  assert.deepEqual(came.slice(41), [false, false]);
});

test("a taken place is EADDRINUSE and leaves no descriptor", async (t) => {
  const directory = temporary(t);
  const path = join(directory, "s");
  const first = transport.listen(path);
  t.after(() => first.close());
  const fd = socket(AF_UNIX, SOCK_STREAM, 0);
  close(fd);
  assert.throws(
    () => transport.listen(path),
    (error) => hasCode(error, "IO_FAILED") && error.details.errno === "EADDRINUSE",
  );
  // The lowest number is free again.
  const again = socket(AF_UNIX, SOCK_STREAM, 0);
  close(again);
  assert.equal(again, fd);
});

test("an inherited listener is taken over and made close-on-exec", async (t) => {
  const path = join(temporary(t), "s");
  const listener = transport.adoptListener(receivedOf(transport.listen(path).takeFd()));
  t.after(() => listener.close());
  assert.equal(flagsOf(fdOf(listener.transferable)) & O_CLOEXEC, O_CLOEXEC);
  const [near, far] = await Promise.all([transport.connect(path, never), nextConnection(listener)]);
  near.close();
  far.close();
});

test("what does not listen is no listener, and stays open: a wrong number can be anybody's", async (t) => {
  const file = openSync(join(temporary(t), "file"), "w");
  const stream = socket(AF_UNIX, SOCK_STREAM, 0);
  const datagram = socket(AF_UNIX, SOCK_DGRAM, 0);
  const rows: [number, RegExp][] = [
    [file, /is not a socket/],
    [datagram, /is a socket of type 2, expected a stream/],
    [stream, /is a socket that does not listen/],
    [1_000_000, /is not a socket/],
  ];
  for (const [fd, why] of rows) {
    assert.throws(
      () => transport.adoptListener(receivedOf(fd)),
      (error) => hasCode(error, "LISTENER_INVALID") && why.test(error.message),
    );
  }
  for (const fd of [file, stream, datagram]) closeSync(fd);
});

test("a stream is adopted close-on-exec and non-blocking; anything else is refused and closed", async (t) => {
  const path = join(temporary(t), "file");
  const { ours, theirs } = transport.pair();
  const adopted = transport.adoptConnection(theirs.take());
  assert.equal(flagsOf(fdOf(theirs.transferable)) & (O_CLOEXEC | O_NONBLOCK), O_CLOEXEC | O_NONBLOCK);
  ours.close();
  adopted.close();
  const refused = (error: unknown): boolean => hasCode(error, "ENDPOINT_INVALID");
  assert.throws(() => transport.adoptConnection(receivedOf(openSync(path, "w"))), refused);
  assert.deepEqual(openOn(path), []);
  const datagram = socket(AF_UNIX, SOCK_DGRAM, 0);
  assert.throws(() => transport.adoptConnection(receivedOf(datagram)), refused);
  assert.throws(() => closeSync(datagram), { code: "EBADF" });
});

test("addresses that the kernel would cut or misread are refused before it sees them", async (t) => {
  const directory = temporary(t);
  const tooLong = join(directory, "x".repeat(108 - directory.length - 1));
  assert.equal(tooLong.length, 108);
  for (const [path, code] of [
    [tooLong, "PATH_TOO_LONG"],
    [join(directory, "a\0b"), "ENDPOINT_INVALID"],
    ["", "ENDPOINT_INVALID"],
  ] as const) {
    assert.throws(
      () => transport.listen(path),
      (error) => hasCode(error, code),
    );
    await assert.rejects(transport.connect(path, never), (error) => hasCode(error, code));
  }
});

test("a socket whose mode cannot be set, or that cannot listen, leaves neither descriptor nor file", (t) => {
  const path = join(temporary(t), "s");
  const { chmodSync } = fs;
  const umask = process.umask(0o777);
  t.after(() => {
    process.umask(umask);
    fs.chmodSync = chmodSync;
    syncBuiltinESMExports();
  });
  fs.chmodSync = (denied) => {
    throw Object.assign(new Error("EPERM"), { code: "EPERM", syscall: "chmod", path: denied });
  };
  syncBuiltinESMExports();
  const free = socket(AF_UNIX, SOCK_STREAM, 0);
  close(free);
  assert.throws(
    () => transport.listen(path),
    (error) => hasCode(error, "IO_FAILED") && error.details.errno === "EPERM" && error.details.path === path,
  );
  const again = socket(AF_UNIX, SOCK_STREAM, 0);
  close(again);
  assert.equal(again, free);
  assert.equal(fs.existsSync(path), false);
});
