/**
 * Connections that are handed to backends that block. An acceptor takes the descriptor with recvmsg(2) and reads: with O_NONBLOCK
 * left on by the broker its first read failed with EAGAIN, after the client had been told that it was connected.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { Deadline } from "../../../src/base/clock.ts";
import { adminRequest } from "../../../src/exchange/admin-client.ts";
import { AdminVerb } from "../../../src/wire/messages.ts";
import { brokerRoundTrip, createHanding, DIRECT, type Handing, handingIn, V1 } from "../../support/handing.ts";
import { helloBytes } from "../../support/peers/raw-peer.ts";
import { createWorld } from "../../support/world.ts";

function define(at: Handing, service: string, labels: Record<string, string> = {}): void {
  at.world.define({
    serviceName: service,
    binary: "hands-blocking.py",
    labels: { "exec.env.JOURNAL": join(at.world.root, `${service}.journal`), ...labels },
  });
}

/** What it was given, each thing once. */
function given(at: Handing, service: string): string[] {
  return [...new Set(at.journal(service).filter((line) => /nonblocking|failed/.test(line)))].sort();
}

function dialledLabels(at: Handing): Record<string, string> {
  const endpoint = join(at.world.root, "h");
  return { "handoff.endpoint": endpoint, "exec.env.HANDOFF_ENDPOINT": endpoint };
}

for (const way of ["control channel", "handoff endpoint"] as const) {
  for (const nonBlocking of [false, true]) {
    test(`${way}: a python backend reads what it is given ${nonBlocking ? "with exec.nonblocking" : "as it is"}`, async (t) => {
      const at = await createHanding(t);
      define(at, "svc", {
        ...(way === "handoff endpoint" && dialledLabels(at)),
        ...(nonBlocking && { "exec.nonblocking": "true", "exec.env.WAITS": "1" }),
      });
      for (const bits of [V1, DIRECT]) {
        const client = await at.raw("svc", bits);
        const direct = way === "control channel" && bits === DIRECT;
        assert.equal(client.negotiated.serverCapabilities, direct ? DIRECT : V1);
        if (!direct) assert.equal((await client.event())?.ack.accepted, true);
        for (let i = 0; i < 3; i++) assert.equal(await client.knock(), 0x5a);
        client.connection.close();
      }
      const flag = nonBlocking ? "True" : "False";
      assert.deepEqual(
        given(at, "svc"),
        ["client", "control", "listener"].map((what) => `${what} nonblocking=${flag}`),
      );
    });
  }
}

test("a request that came in pieces was waited for, and its connection is blocking all the same", async (t) => {
  const at = await createHanding(t);
  define(at, "svc");
  const { clock, transport } = at.world.platform;
  const deadline = Deadline.after(clock, 30_000);
  const connection = await transport.connect(at.broker.endpoint, deadline);
  // The broker's watch is what sets O_NONBLOCK: a connection that says nothing for one round trip is watched.
  await brokerRoundTrip(at);
  const bytes = helloBytes({ serviceName: "svc", clientCapabilities: DIRECT });
  await connection.writeAll(bytes.subarray(0, 3), deadline);
  await brokerRoundTrip(at);
  await connection.writeAll(bytes.subarray(3), deadline);
  await connection.writeAll(Buffer.of(0xc3), deadline);
  let heard = Buffer.alloc(0);
  while (heard.at(-1) !== 0x5a) heard = Buffer.concat([heard, await connection.readSome(4096, deadline)]);
  connection.close();
  assert.ok(!at.journal("svc").some((line) => /nonblocking=True|failed/.test(line)));
});

test("registered: a python backend that a broker dials reads what it is given as it is", async (t) => {
  let registered: Handing | undefined;
  t.after(() => registered?.shutDown());
  const world = await createWorld(t);
  world.define({ serviceName: "svc", binary: "hands-blocking.py" });
  const [endpoint, handoffs] = [join(world.root, "be"), join(world.root, "ho")];
  const child = world.track(
    spawn(join(world.root, "bin", "hands-blocking.py"), [], {
      env: {
        ...world.env,
        JOURNAL: join(world.root, "svc.journal"),
        HANDOFF_ENDPOINT: handoffs,
        RUNNING_PROCESS_BROKER_V1_BACKEND_PIPE: endpoint,
        RUNNING_PROCESS_BROKER_V1_BACKEND_NAMESPACE: "private:svc",
      },
      stdio: ["ignore", "pipe", "inherit"],
    }),
  );
  await once(createInterface({ input: child.stdout as NodeJS.ReadableStream }), "line");
  const broker = await world.startBroker([
    ...["--socket", join(world.runtime, "b.sock"), "--hello-rate", "0", "--service", "svc", "--version", "1.0.0"],
    ...["--backend-endpoint", endpoint, "--handoff-endpoint", handoffs],
  ]);
  registered = handingIn(world, broker);
  for (let i = 0; i < 3; i++) {
    const client = await registered.raw("svc", V1);
    assert.equal((await client.event())?.ack.accepted, true);
    assert.equal(await client.knock(), 0x5a);
    client.connection.close();
  }
  assert.deepEqual(given(registered, "svc"), ["client nonblocking=False"]);
  // Proved once, when the broker started; a Hello connects to nothing.
  assert.deepEqual(
    registered.journal("svc").filter((line) => !line.startsWith("client")),
    ["probed"],
  );
});

test("a refused connection is left blocking: the refuser may hold a duplicate, and the broker waits for the client", async (t) => {
  const at = await createHanding(t);
  define(at, "svc", { "exec.env.PLAN": "refuse" });
  const client = await at.raw("svc", DIRECT);
  const said = await client.event();
  assert.deepEqual([said?.ack.accepted, said?.ack.errorDetail], [false, "no"]);
  // By now the broker waits for the client to leave, which without care sets the flag.
  await brokerRoundTrip(at);
  client.connection.close();
  while (!at.journal("svc").some((line) => line.startsWith("refused"))) await brokerRoundTrip(at);
  assert.deepEqual(given(at, "svc").at(-1), "refused nonblocking=False");
});

test("a ready event that finds no room stalls neither the broker nor the backend", async (t) => {
  const at = await createHanding(t);
  define(at, "svc", { "exec.env.PLAN": "flood" });
  const client = await at.raw("svc", V1);
  // The backend has filled the client's socket before it acknowledged; the broker has the event to write, and goes on.
  const { body } = await adminRequest(at.world.platform, at.broker.endpoint, { verb: AdminVerb.HEALTHZ });
  assert.match(body, /^ok/);
  const deadline = Deadline.after(at.world.platform.clock, 30_000);
  // The backend waits for room as well, in a send(2) that blocks: with O_NONBLOCK it would have failed.
  for (let last = 0; last !== "!".charCodeAt(0); ) {
    const bytes = await client.connection.readSome(65_536, deadline);
    assert.ok(bytes.length > 0, at.journal("svc").join("\n"));
    last = bytes.includes("!") ? "!".charCodeAt(0) : 0;
  }
  assert.ok(!at.journal("svc").some((line) => line.startsWith("failed")));
  client.connection.close();
});

test("a backend that does not read its control channel holds up its own handoffs, and nothing else", async (t) => {
  const at = await createHanding(t);
  define(at, "stopped");
  define(at, "other");
  const warm = await at.raw("stopped", V1);
  assert.equal((await warm.event())?.ack.accepted, true);
  warm.connection.close();
  const pid = at.world.processes().find((each) => each !== at.broker.pid) as number;
  process.kill(pid, "SIGSTOP");
  // More offers than its socket has room for.
  const asked = await Promise.all(Array.from({ length: 400 }, () => at.ask("stopped", DIRECT)));
  await brokerRoundTrip(at);
  const client = await at.raw("other", DIRECT);
  assert.equal(await client.knock(), 0x5a);
  client.connection.close();
  process.kill(pid, "SIGCONT");
  for (const { answered } of asked) await answered.then(({ connection }) => connection.close());
});
