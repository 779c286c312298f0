/** A hot restart in which something fails, whatever and whenever: there is a broker afterwards, with its backends. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { isBrokerError } from "../../src/base/errors.ts";
import { answerOf, PROTOCOL } from "../support/handing.ts";
import { processEnd } from "../support/launching.ts";
import { commandLine } from "../support/process-facts.ts";
import { createRestarting, type Restarting } from "../support/restarting.ts";
import { PROJECT, RPB } from "../support/world.ts";

interface Sweep {
  /** Names in node:fs, and in the C library for what goes past it. */
  readonly fs: readonly string[];
  readonly libc: readonly string[];
  readonly errno: string;
  /** Of the new process. A mode that it takes bits from is set anew by fchmod. Default: that of the test. */
  readonly umask?: number;
  /** Runs after each restart. A request that does not succeed must say why, and succeed the second time. */
  after?(at: Restarting, n: number): Promise<void>;
}

const LAUNCHED = "launched.mjs";
const SWEEPS: Readonly<Record<string, Sweep>> = {
  /** Calls that a full disk, a disk that has become read-only, or one that breaks makes fail. */
  writes: {
    fs: ["openSync", "writeSync", "ftruncateSync"],
    libc: [],
    errno: "ENOSPC",
  },
  /** A restart puts nothing in its place by rename; the first launch after it does so with its records. */
  "records of a launch": {
    fs: ["renameSync"],
    libc: ["fchmod", "fsync"],
    umask: 0o277,
    errno: "EIO",
    async after(at, n) {
      const version = `1.0.${n}`;
      const session = await at.open("launched", { version }).catch((error: unknown) => {
        assert.ok(isBrokerError(error), String(error));
        assert.match(error.message, /EIO/);
        return at.open("launched", { version });
      });
      await session.close();
      for (const pid of at.world.processes().filter((each) => commandLine(each).includes(LAUNCHED))) {
        const end = processEnd(at.world, pid);
        process.kill(pid, "SIGKILL");
        await end;
      }
    },
  },
  /** Those that fail only in a directory that cannot be looked into any more. */
  looks: { fs: ["lstatSync", "readdirSync"], libc: ["statx"], errno: "EIO" },
};

/** The real program, of whose calls the n-th fails; `marker` is then there. */
function failing({ fs, libc, errno, umask }: Sweep, n: number, marker: string): string {
  return `import fs from "node:fs";
import { failLibc } from ${JSON.stringify(join(PROJECT, "test/support/libc-faults.mjs"))};
const writeMarker = fs.writeFileSync.bind(fs, ${JSON.stringify(marker)});
let left = ${n};
const fails = (name, path) => {
  if (typeof path === "string" && !path.startsWith(process.env.HOME)) return false;
  if (--left !== 0) return false;
  // The number is taken up again by the file that tells of it.
  left = Number.POSITIVE_INFINITY;
  writeMarker(name);
  return true;
};
for (const name of ${JSON.stringify(fs)}) {
  const real = fs[name];
  fs[name] = (...args) => {
    if (!fails(name, args[0])) return real(...args);
    const error = new Error("${errno}: failpoint, " + name);
    throw Object.assign(error, { code: "${errno}", syscall: name.replace("Sync", "") });
  };
}
const libc = ${JSON.stringify(libc)};
failLibc((name, values) => {
  const path = values.find((value) => typeof value === "string");
  return libc.includes(name) && fails(name, path) ? "${errno}" : undefined;
});
${umask === undefined ? "" : `process.umask(${umask});`}
await import(${JSON.stringify(RPB)});
`;
}

for (const [what, sweep] of Object.entries(SWEEPS))
  test(`whichever of its ${what} fails in the new process: one of the two is the broker, and the backend goes on`, async (t) => {
    const at = await createRestarting(t);
    at.define("svc");
    at.world.define({ serviceName: "launched", binaryPath: at.world.install("reverse.mjs", LAUNCHED) });
    const session = await at.open("svc");
    const marker = join(at.world.root, "failed");
    const outcomes: string[] = [];
    const failed = new Set<string>();
    for (let n = 1; ; n++) {
      spawnSync("rm", ["-f", marker]);
      at.update(failing(sweep, n, marker));
      const before = await at.brokerPid();
      const { code, stderr } = await at.restart();
      const now = await at.brokerPid();
      assert.equal(now === before, code !== 0, stderr);
      await sweep.after?.(at, n);
      // A later call is that of a request, which fails alone.
      if (!existsSync(marker)) break;
      assert.equal(answerOf(await session.request(PROTOCOL, Buffer.from("on"))), "ON");
      const next = await at.open("svc");
      assert.equal(answerOf(await next.request(PROTOCOL, Buffer.from("new"))), "NEW");
      await next.close();
      const name = readFileSync(marker, "utf8");
      failed.add(name);
      outcomes.push(`${name} ${code}`);
    }
    await session.close();
    // The failure that has not come yet would come at the end, and leave a lock file, which is no lock.
    at.update(undefined);
    while ((await at.restart()).code !== 0);
    t.diagnostic(outcomes.join(", "));
    // A name that is not called any more would test nothing.
    assert.deepEqual([...failed].sort(), [...sweep.fs, ...sweep.libc].sort());
  });

test("a new process that breaks off once it is the broker is not ended: it may serve", async (t) => {
  const at = await createRestarting(t, { dies: true });
  const marker = join(at.world.root, "is-broker");
  at.update(`
import { writeFileSync } from "node:fs";
import { Socket } from "node:net";
import { encodeSuccession } from ${JSON.stringify(join(PROJECT, "dist/wire/succession.js"))};
const socket = new Socket({ fd: Number(process.env.RUNNING_PROCESS_BROKER_SUCCESSION_FD) });
const say = (message) => socket.write(encodeSuccession(message));
say({ case: "prepared", value: { version: "0.0.0" } });
socket.once("data", () => {
  say({ case: "received", value: {} });
  socket.once("data", () => {
    writeFileSync(${JSON.stringify(marker)}, String(process.pid));
    socket.destroy();
  });
});
setInterval(() => {}, 1000);
`);
  const { code, stderr } = await at.restart();
  assert.equal(code, 70);
  assert.match(stderr, /closed its channel while beginning to serve/);
  const pid = Number(readFileSync(marker, "utf8"));
  assert.ok(at.world.processes().includes(pid));
  process.kill(pid, "SIGKILL");
  await at.firstEnded();
});
