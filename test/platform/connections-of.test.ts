/** Counting connections of another process, on real sockets: each kind is there, and goes. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, unlinkSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { loadPlatform } from "../../src/platform/platform.ts";

async function setUp(t: TestContext) {
  const { processes, transport } = await loadPlatform();
  const directory = mkdtempSync(join(tmpdir(), "c-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, "é b\n1: \\.sock");
  const elsewhere = join(directory, "elsewhere.sock");
  const count = (pid = process.pid): number | undefined =>
    processes.countConnections({ path, pid, handedOverFrom: elsewhere });
  return { path, elsewhere, count, transport };
}

test("what nobody listens at cannot be counted", async (t) => {
  const { count } = await setUp(t);
  assert.equal(count(), undefined);
});

test("a connection counts from the backlog to its end, also after the socket file was removed", async (t) => {
  const { path, count, transport } = await setUp(t);
  const listener = transport.listen(path);
  t.after(() => listener.close());
  assert.equal(count(), 0);
  const client = connect(path);
  await once(client, "connect");
  assert.equal(count(), 1);
  const accepted = new Promise<void>((resolve) =>
    listener.accept({
      onConnection: (connection) => {
        t.after(() => connection.close());
        resolve();
      },
      onError: () => {},
    }),
  );
  await accepted;
  assert.equal(count(), 1);
  unlinkSync(path);
  assert.equal(count(), 1);
});

test("a connection that ended on both sides does not count", async (t) => {
  const { path, count } = await setUp(t);
  const server = createServer().listen(path);
  await once(server, "listening");
  t.after(() => void server.close());
  const client = connect(path);
  const [accepted] = (await once(server, "connection")) as [Socket];
  assert.equal(count(), 1);
  client.destroy();
  accepted.resume();
  await once(accepted, "close");
  assert.equal(count(), 0);
});

test("a connection accepted elsewhere counts for the process that has it open, and for no other", async (t) => {
  const { path, elsewhere, count } = await setUp(t);
  const own = createServer().listen(path);
  const other = createServer().listen(elsewhere);
  await Promise.all([once(own, "listening"), once(other, "listening")]);
  t.after(() => void own.close());
  t.after(() => void other.close());
  const client = connect(elsewhere);
  const [accepted] = (await once(other, "connection")) as [Socket];
  t.after(() => void client.destroy());
  t.after(() => void accepted.destroy());
  assert.equal(count(), 1);
  assert.equal(count(1), 0);
});
