/** A full disk costs records, not service; when there is room again, recording goes on. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { launchingIn, processEnd } from "../../support/launching.ts";
import { createWorld, RPB, type RunningBroker } from "../../support/world.ts";

test("Hellos are served while events cannot be recorded, and what is missing is counted", async (t) => {
  let launching: ReturnType<typeof launchingIn> | undefined;
  t.after(() => launching?.shutDown());
  const world = await createWorld(t);
  world.define({ serviceName: "svc", binary: "obeys.mjs" });
  const state = world.env.XDG_STATE_HOME as string;
  // In a mount namespace of its own, so that nothing has to be unmounted whatever happens.
  const script = `mount -t tmpfs -o size=16k,mode=0700 tmpfs "${state}" || exit 99
mkdir -m 700 -p "${state}/running-process/logs"
dd if=/dev/zero of="${state}/full" 2>/dev/null
exec "$@"`;
  const endpoint = join(world.runtime, "b.sock");
  const child = world.track(
    spawn(
      "unshare",
      ["-m", "sh", "-c", script, "sh", process.execPath, RPB, "serve", "--log-format", "json", "--socket", endpoint],
      {
        env: world.env,
        stdio: ["ignore", "pipe", "pipe"],
      },
    ),
  );
  const ended = once(child, "close");
  const seen: Record<string, unknown>[] = [];
  let look = (): void => {};
  createInterface({ input: child.stderr as NodeJS.ReadableStream }).on("line", (line) => {
    if (line.startsWith("{")) seen.push(JSON.parse(line));
    look();
  });
  const logged = (type: string): Promise<Record<string, unknown>> =>
    new Promise((resolve) => {
      look = () => {
        const found = seen.find((line) => line.type === type);
        if (found !== undefined) resolve(found);
      };
      look();
    });
  const ready = await Promise.race([
    once(createInterface({ input: child.stdout as NodeJS.ReadableStream }), "line"),
    ended.then(() => undefined),
  ]);
  if (ready === undefined) return t.skip("needs the right to mount");
  launching = launchingIn(world, {
    endpoint,
    process: child,
    pid: child.pid as number,
    ended,
    log: () => "",
  } as unknown as RunningBroker);

  assert.match(String((await logged("lifecycle-log-unavailable")).fault), /ENOSPC/);
  for (let i = 0; i < 5; i++) await launching.negotiated("svc");
  assert.equal(seen.filter(({ type }) => type === "lifecycle-log-unavailable").length, 1);
  const pid = Number(seen.find((line) => line.to === "running")?.pid);
  // What is mounted there stays while the backend does.
  const inside = `/proc/${pid}/root${state}`;
  rmSync(`${inside}/full`);
  await launching.negotiated("svc");
  const lost = Number((await logged("lifecycle-log-resumed")).lost);
  child.kill("SIGTERM");
  await ended;
  const types = readFileSync(`${inside}/running-process/logs/lifecycle.jsonl`, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line).extra.type as string);
  // Its start, the definition, the launch, its success, six Hellos, the two of its end.
  assert.equal(lost + types.filter((type) => type !== "lifecycle-log-resumed").length, 12, types.join(" "));
  // Records wait for the end of their turn, so the last Hellos may have found room.
  assert.ok(lost >= 4, String(lost));
  assert.equal(types.filter((type) => type === "lifecycle-log-resumed").length, 1);
  assert.deepEqual(types.slice(-2), ["broker-stopping", "broker-stopped"]);
  const gone = processEnd(world, pid);
  process.kill(pid, "SIGKILL");
  await gone;
  rmSync(world.runtime, { recursive: true });
});
