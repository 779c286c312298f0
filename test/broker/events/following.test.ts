/** `-f` goes on through rotation, and ends when nobody reads any more. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { createLaunching, order } from "../../support/launching.ts";
import { createWorld, RPB, type World } from "../../support/world.ts";

interface Following {
  /** Resolves with all the output once it matches. */
  shown(pattern: RegExp): Promise<string>;
  /** Resolves with the exit code after the reader has gone. */
  leave(): Promise<unknown>;
  kill(): Promise<unknown>;
}

function follow(world: World, args: readonly string[]): Following {
  const child = world.track(
    spawn(process.execPath, [RPB, ...args], { env: world.env, stdio: ["ignore", "pipe", "pipe"] }),
  );
  let output = "";
  let look = (): void => {};
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding("utf8").on("data", (chunk: string) => {
      output += chunk;
      look();
    });
  const ended = once(child, "exit");
  return {
    shown: (pattern) =>
      new Promise((resolve, reject) => {
        look = () => {
          if (pattern.test(output)) resolve(output);
        };
        void ended.then(() => reject(new Error(`it ended after:\n${output}`)));
        look();
      }),
    async leave() {
      child.stdout?.destroy();
      return (await ended)[0];
    },
    async kill() {
      child.kill("SIGTERM");
      return (await ended)[1];
    },
  };
}

test("events -f begins before there is a record, shows what comes in, and ends with its reader", async (t) => {
  const world = await createWorld(t);
  world.define({ serviceName: "svc", binary: "reverse.mjs" });
  const following = follow(world, ["events", "-f", "--json", "--service", "svc"]);
  const broker = await world.startBroker(["--instance", "private:svc"]);
  const client = await world.run(process.execPath, [RPB, "connect", "svc", "1.0.0"]);
  assert.equal(client.code, 0, client.stderr);
  const shown = await following.shown(/HELLO_ACCEPTED/);
  assert.deepEqual(
    shown
      .split("\n")
      .slice(0, 4)
      .map((line) => JSON.parse(line).kind),
    ["SERVICE_DEF_LOADED", "SPAWN_ATTEMPT", "SPAWN", "HELLO_ACCEPTED"],
  );
  const left = following.leave();
  await world.run(process.execPath, [RPB, "stop", "--service", "svc", "--with-backends"]);
  assert.equal(await left, 0);
  await broker.ended;
});

test("logs -f goes on through rotation and shows each line once", async (t) => {
  const world = await createWorld(t);
  mkdirSync(world.logs, { recursive: true, mode: 0o700 });
  const path = join(world.logs, "svc-1.0.0.log");
  appendFileSync(path, "line 0\n");
  const following = follow(world, ["logs", "svc", "-f"]);
  await following.shown(/line 0\n/);
  const expected = ["line 0"];
  const log = world.platform.files.openLog(path);
  t.after(() => log.close());
  for (let round = 1; round <= 10; round++) {
    appendFileSync(path, `line ${round} before\n`);
    await log.rotate(4096);
    appendFileSync(path, `line ${round} after\n`);
    expected.push(`line ${round} before`, `line ${round} after`);
    await following.shown(new RegExp(`line ${round} after\n`));
  }
  assert.deepEqual((await following.shown(/./)).split("\n").slice(0, -1), expected);
  assert.equal(await following.kill(), "SIGTERM");
});

test("logs -f of a real backend shows its output as it comes", async (t) => {
  const launching = await createLaunching(t);
  const { world } = launching;
  world.define({ serviceName: "svc", binary: "obeys.mjs" });
  const { backendPipe } = await launching.negotiated("svc");
  const logs = follow(world, ["logs", "svc", "--follow", "--version", "1.0.0"]);
  await order(backendPipe, "write-output");
  await logs.shown(/^(0123456789abcde\n){1024}\n$/);
  await logs.kill();
});
