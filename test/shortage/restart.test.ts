/** A hot restart in which something fails, whatever and whenever: there is a broker afterwards, with its backends. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { answerOf, PROTOCOL } from "../handoff/support/handing.ts";
import { createRestarting } from "../restart/support/restarting.ts";
import { PROJECT, RPB } from "../support/world.ts";

/** Calls that a full disk, a disk that has become read-only, or one that breaks makes fail. */
const CALLS = ["openSync", "writeSync", "ftruncateSync", "fsyncSync", "renameSync", "unlinkSync", "mkdirSync"];
/** And those that fail only in a directory that cannot be looked into any more. */
const LOOKS = ["lstatSync", "readdirSync"];

/** The real program, of whose calls the n-th fails; `marker` is then there. */
function failing(calls: readonly string[], n: number, { errno, marker }: { errno: string; marker: string }): string {
  return `import fs from "node:fs";
const writeMarker = fs.writeFileSync.bind(fs, ${JSON.stringify(marker)});
let left = ${n};
for (const name of ${JSON.stringify(calls)}) {
  const real = fs[name];
  fs[name] = (...args) => {
    if (typeof args[0] === "string" && !args[0].startsWith(process.env.HOME)) return real(...args);
    if (--left !== 0) return real(...args);
    // The number is taken up again by the file that tells of it.
    left = Number.POSITIVE_INFINITY;
    writeMarker(name);
    const error = new Error("${errno}: failpoint, " + name);
    throw Object.assign(error, { code: "${errno}", syscall: name.replace("Sync", "") });
  };
}
await import(${JSON.stringify(RPB)});
`;
}

for (const [what, calls, errno] of [
  ["writes", CALLS, "ENOSPC"],
  ["looks", LOOKS, "EIO"],
] as const)
  test(`whichever of its ${what} fails in the new process: one of the two is the broker, and the backend goes on`, async (t) => {
    const at = await createRestarting(t);
    at.define("svc");
    const session = await at.open("svc");
    const marker = join(at.world.root, "failed");
    const outcomes: string[] = [];
    for (let n = 1; ; n++) {
      spawnSync("rm", ["-f", marker]);
      at.update(failing(calls, n, { errno, marker }));
      const before = await at.brokerPid();
      const { code, stderr } = await at.restart();
      const now = await at.brokerPid();
      assert.equal(now === before, code !== 0, stderr);
      // A later call is that of a request, which fails alone.
      if (!existsSync(marker)) break;
      assert.equal(answerOf(await session.request(PROTOCOL, Buffer.from("on"))), "ON");
      const next = await at.open("svc");
      assert.equal(answerOf(await next.request(PROTOCOL, Buffer.from("new"))), "NEW");
      await next.close();
      outcomes.push(`${readFileSync(marker, "utf8")} ${code}`);
    }
    await session.close();
    // The failure that has not come yet would come at the end, and leave a lock file, which is no lock.
    at.update(undefined);
    while ((await at.restart()).code !== 0);
    assert.ok(outcomes.length > 0);
    t.diagnostic(outcomes.join(", "));
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
