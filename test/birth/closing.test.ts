/** What a daemon closes at its start, whatever it was started with and whatever its runtime was told to do. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { createWorld, type World } from "../support/world.ts";

const NUMBERS = [3, 4, 9, 15, 16, 17, 40, 63, 200, 255, 900];

interface Outcome {
  /** Those of `NUMBERS` that are still open. */
  readonly kept: number[];
  /** How many ends of the pipe with the inode PIPE are still open. */
  readonly pipeEnds: number;
  /** Status of a request to the debugger. */
  readonly debugged?: number;
}

interface Start {
  readonly told?: readonly number[];
  readonly node?: readonly string[];
  readonly env?: Record<string, string>;
  /** Run by the shell instead of the program, which is "$@", with the descriptors open. */
  readonly exec?: string;
  readonly open?: readonly number[];
}

async function worldWithNumbers(t: TestContext): Promise<World> {
  const world = await createWorld(t);
  mkdirSync(join(world.root, "numbers"));
  return world;
}

/** Starts the program from a shell that has `NUMBERS` open. */
async function outcomeOf(world: World, start: Start = {}): Promise<Outcome> {
  const directory = join(world.root, "numbers");
  const opened = (start.open ?? NUMBERS).map((fd) => `${fd}>"${directory}/${fd}"`).join(" ");
  const program = [process.execPath, ...(start.node ?? []), world.install("closes-inherited.mjs")];
  const { stdout, stderr, code } = await world.run(
    "bash",
    ["-c", `cd "${world.root}"; exec ${opened}\n${start.exec ?? 'exec "$@"'}`, "bash", ...program],
    { env: { TOLD: JSON.stringify(start.told ?? []), DIRECTORY: directory, ...start.env } },
  );
  assert.equal(code, 0, stdout + stderr);
  return JSON.parse(stdout.trim().split("\n").at(-1) as string) as Outcome;
}

const MANY = Array.from({ length: 600 }, (_, n) => n + 3);

const WAYS: Readonly<Record<string, Start>> = {
  "as usual": {},
  "with a debugger": { node: ["--inspect=127.0.0.1:0"] },
  "with io_uring": { env: { UV_USE_IO_URING: "1" } },
  "with more descriptors than the runtime marks": { open: MANY },
};

for (const [way, start] of Object.entries(WAYS)) {
  test(`${way}: nothing is kept, and the runtime has lost nothing`, async (t) => {
    const outcome = await outcomeOf(await worldWithNumbers(t), start);
    assert.deepEqual(outcome.kept, []);
    assert.equal(outcome.debugged, start.node === undefined ? undefined : 200);
  });

  test(`${way}: what it was told of is kept`, async (t) => {
    const told = [9, 17, 200, 900].filter((fd) => (start.open ?? NUMBERS).includes(fd));
    const outcome = await outcomeOf(await worldWithNumbers(t), { ...start, told });
    assert.deepEqual(outcome.kept, told);
  });
}

test("coverage is written in the end", async (t) => {
  const world = await worldWithNumbers(t);
  const directory = join(world.root, "coverage");
  assert.deepEqual((await outcomeOf(world, { env: { NODE_V8_COVERAGE: directory } })).kept, []);
  assert.ok(readdirSync(directory).length > 0);
});

test("a log of the runtime, which is not close-on-exec, is written to its end", async (t) => {
  const world = await worldWithNumbers(t);
  assert.deepEqual(
    (await outcomeOf(world, { node: ["--prof", "--logfile=v8.log", "--no-logfile-per-isolate"] })).kept,
    [],
  );
  assert.match(readFileSync(join(world.root, "v8.log"), "utf8"), /^v8-version/);
  assert.match(readFileSync(join(world.root, "v8.log"), "utf8"), /^tick,/m);
});

/** Ways to have code run before the program, which may have opened what Node has marked. By the path of a module. */
const FIRST: Readonly<Record<string, (module: string) => Start>> = {
  "--import": (module) => ({ node: ["--import", module] }),
  "NODE_OPTIONS with a quoted word": (module) => ({ env: { NODE_OPTIONS: `"--import=${module}"` } }),
  "NODE_OPTIONS with a quote in a word": (module) => ({ env: { NODE_OPTIONS: `--no-warnings --im"port=${module}"` } }),
};

for (const [way, start] of Object.entries(FIRST)) {
  test(`${way}: what a module opened that was loaded first is left alone`, async (t) => {
    const world = await worldWithNumbers(t);
    mkdirSync(join(world.root, "a b"));
    const preload = join(world.root, "a b", "preload.mjs");
    const opened = join(world.root, "opened");
    writeFileSync(
      preload,
      `import { closeSync, fstatSync, openSync } from "node:fs";
const fd = openSync(${JSON.stringify(opened)}, "w");
process.once("exit", () => { fstatSync(fd); closeSync(fd); });`,
    );
    const outcome = await outcomeOf(world, start(preload));
    // Of those that Node itself has marked it cannot be known whose they are.
    assert.deepEqual(
      outcome.kept.filter((fd) => fd > 17),
      [],
    );
    assert.ok(outcome.kept.includes(9));
  });
}

// A library of the system's that opens nothing stands for one that does: they cannot be told apart.
test("with a preloaded library what Node has marked stays open, for it may be the library's", async (t) => {
  const outcome = await outcomeOf(await worldWithNumbers(t), { env: { LD_PRELOAD: "libm.so.6" } });
  assert.ok([3, 4, 9, 15].every((fd) => outcome.kept.includes(fd)));
  assert.deepEqual(
    outcome.kept.filter((fd) => fd > 17),
    [],
  );
});

/** The program inherits both ends of a pipe that is as old as SECONDS says. */
const WITH_PIPE = `exec python3 -c 'import os, sys, time
ends = os.pipe()
for fd in ends: os.set_inheritable(fd, True)
made = time.time() - float(os.environ["SECONDS_OLD"])
os.utime(ends[0], (made, made))
os.environ["PIPE"] = str(os.fstat(ends[0]).st_ino)
os.execv(sys.argv[1], sys.argv[1:])' "$@"`;

for (const options of [[], ["--inspect=127.0.0.1:0"]])
  test(`both ends of a pipe that another program made go, ${options.length > 0 ? "with" : "without"} a debugger`, async (t) => {
    const world = await worldWithNumbers(t);
    const start = { exec: WITH_PIPE, node: options, env: { SECONDS_OLD: "2" } };
    const outcome = await outcomeOf(world, start);
    assert.equal(outcome.pipeEnds, 0);
    assert.deepEqual(outcome.kept, []);
  });

test("a clock that was set back makes no pipe of the runtime's another program's", async (t) => {
  const world = await worldWithNumbers(t);
  const outcome = await outcomeOf(world, { exec: WITH_PIPE, env: { SECONDS_OLD: "2", CLOCK_SET_BACK_MS: "60000" } });
  assert.equal(outcome.pipeEnds, 2);
  assert.deepEqual(outcome.kept, []);
});

for (const fd of [3, 20])
  test(`the channel of a parent that is Node stays, as number ${fd}`, async (t) => {
    const world = await worldWithNumbers(t);
    const child = world.track(
      spawn(process.execPath, [world.install("closes-inherited.mjs")], {
        env: { ...world.env, DIRECTORY: join(world.root, "numbers") },
        stdio: ["ignore", "ignore", "inherit", ...Array.from({ length: fd - 3 }, () => "ignore" as const), "ipc"],
      }),
    );
    const ended = once(child, "exit");
    assert.deepEqual(await Promise.race([once(child, "message"), ended]), ["here", undefined]);
    assert.deepEqual(await ended, [0, null]);
  });
