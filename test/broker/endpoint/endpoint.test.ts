/** Whose address is it: what a broker takes over, what it leaves alone, and where it refuses to start. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { chmodSync, chownSync, existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { startLaunchingBroker } from "../../support/launching.ts";
import { converse, refusedIn, sayHello } from "../../support/peers/raw-peer.ts";
import { statusOf } from "../../support/probing.ts";
import { createWorld, type Finished, modeOf, RPB, type World } from "../../support/world.ts";

/** Runs a broker that is expected not to start. */
function serve(world: World, socket: string): Promise<Finished> {
  return world.run(process.execPath, [RPB, "serve", "--socket", socket]);
}

async function worldWithRuntime(t: TestContext): Promise<{ world: World; socket: string }> {
  const world = await createWorld(t);
  mkdirSync(world.runtime, { recursive: true, mode: 0o700 });
  return { world, socket: join(world.runtime, "b.sock") };
}

test("the socket of a killed broker is taken over", async (t) => {
  const world = await createWorld(t);
  const first = await startLaunchingBroker(world);
  first.process.kill("SIGKILL");
  await first.ended;
  assert.ok(existsSync(first.endpoint) && existsSync(`${first.endpoint}.lock`));
  const second = await startLaunchingBroker(world);
  assert.equal(refusedIn(await sayHello(second.endpoint, { serviceName: "none" })).code, 2);
  assert.equal((await second.stop()).code, 0);
});

test("what a broker makes is closed to others, and gone after SIGTERM", async (t) => {
  const world = await createWorld(t);
  const broker = await startLaunchingBroker(world);
  const lock = `${broker.endpoint}.lock`;
  assert.deepEqual(
    [broker.endpoint, lock, world.runtime, dirname(world.runtime)].map(modeOf),
    [0o600, 0o600, 0o700, 0o700],
  );
  assert.equal((await broker.stop()).code, 0);
  assert.deepEqual([existsSync(broker.endpoint), existsSync(lock)], [false, false]);
});

test("a second broker exits with 75 and leaves the one that lives alone", async (t) => {
  const world = await createWorld(t);
  const broker = await startLaunchingBroker(world);
  const second = await serve(world, broker.endpoint);
  assert.deepEqual([second.code, second.stdout], [75, ""]);
  assert.match(second.stderr, /\[BROKER_ALREADY_RUNNING\] another broker is running at /);
  assert.equal((await statusOf(broker.endpoint)).accepting_hello, true);
  assert.ok(existsSync(`${broker.endpoint}.lock`));
  await broker.stop();
});

test("a listener of another make, which holds no lock, is left alone", async (t) => {
  const { world, socket } = await worldWithRuntime(t);
  const other = createServer((peer) =>
    peer
      .on("error", () => {})
      .resume()
      .end("still here"),
  ).listen(socket);
  t.after(() => other.close());
  await once(other, "listening");
  const refused = await serve(world, socket);
  assert.equal(refused.code, 75);
  assert.match(refused.stderr, /\[BROKER_ALREADY_RUNNING\]/);
  assert.equal((await converse(socket, Buffer.from("?"))).toString(), "still here");
  assert.equal(existsSync(`${socket}.lock`), false);
  await new Promise((resolve) => other.close(resolve));
});

test("what is at the address and no socket of ours is refused and left as it is", async (t) => {
  const { world, socket } = await worldWithRuntime(t);
  const places: Record<string, () => void> = {
    file: () => writeFileSync(socket, "precious"),
    directory: () => mkdirSync(socket),
    link: () => symlinkSync(join(world.root, "elsewhere"), socket),
  };
  for (const [kind, make] of Object.entries(places)) {
    make();
    const refused = await serve(world, socket);
    assert.deepEqual([refused.code, refused.stdout], [77, ""], kind);
    assert.match(
      refused.stderr,
      new RegExp(`\\[FILE_INSECURE\\] cannot listen on .*b\\.sock: there is a ${kind} of uid`),
    );
    assert.equal(world.platform.files.facts(socket)?.kind, kind);
    rmSync(socket, { recursive: true });
  }
});

test("an address of 107 bytes works, one of 108 is refused before anything is made", async (t) => {
  const world = await createWorld(t);
  const ofLength = (bytes: number): string => {
    const start = join(world.root, "long/");
    return `${start}${"s".repeat(bytes - start.length)}`;
  };
  const refused = await serve(world, ofLength(108));
  assert.equal(refused.code, 78);
  assert.match(refused.stderr, /\[PATH_TOO_LONG\] socket path has 108 bytes, .* holds 107: /);
  assert.equal(existsSync(join(world.root, "long")), false);
  const broker = await world.startBroker(["--socket", ofLength(107)]);
  await broker.stop();
});

test("a directory that others could use is refused with exit 77 and how to mend it", async (t) => {
  const { world, socket } = await worldWithRuntime(t);
  const real = join(world.root, "real");
  const foreign = join(world.root, "foreign");
  mkdirSync(real, { mode: 0o700 });
  mkdirSync(foreign, { mode: 0o700 });
  symlinkSync(real, join(world.root, "linked"));
  const rows: [string, RegExp][] = [
    [join(world.root, "linked/b.sock"), /linked cannot be trusted: it is a symbolic link/],
  ];
  chmodSync(world.runtime, 0o755);
  rows.push([
    socket,
    new RegExp(`insecure permissions 0755, expected 0700 \\(mend with: chmod 700 ${world.runtime}\\)`),
  ]);
  if (process.getuid?.() === 0) {
    chownSync(foreign, 65534, 65534);
    rows.push([join(foreign, "b.sock"), /foreign cannot be trusted: it belongs to uid 65534, expected 0/]);
  }
  for (const [path, why] of rows) {
    const refused = await serve(world, path);
    assert.deepEqual([refused.code, refused.stdout], [77, ""]);
    assert.match(refused.stderr, /\[DIRECTORY_INSECURE\]/);
    assert.match(refused.stderr, why);
    assert.equal(existsSync(path), false);
  }
  assert.equal(modeOf(world.runtime), 0o755);
});

test("of two brokers started at the same moment exactly one survives", async (t) => {
  const world = await createWorld(t);
  for (let round = 0; round < 3; round++) {
    const both = await Promise.allSettled([startLaunchingBroker(world), startLaunchingBroker(world)]);
    const [winner, ...others] = both.filter((one) => one.status === "fulfilled");
    assert.ok(winner !== undefined && others.length === 0);
    const [loser] = both.filter((one) => one.status === "rejected");
    assert.match(String(loser?.reason), /\[BROKER_ALREADY_RUNNING\]/);
    assert.equal((await statusOf(winner.value.endpoint)).accepting_hello, true);
    await winner.value.stop();
  }
});
