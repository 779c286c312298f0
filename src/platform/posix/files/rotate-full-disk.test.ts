/** Rotating a log when its file system is full, or fills up meanwhile. */
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, rmSync, statSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setUpLog } from "../../../../test/platform/support/log.ts";
import { collapseHead } from "../../linux/collapse.ts";
import { type LogSource, rotateOpenLog } from "./rotate-log.ts";

const text = (path: string): string => readFileSync(path, "utf8");

test("a full file system gets the log's room back, and the log keeps its newest lines", async (t) => {
  const { directory } = setUpLog(t);
  const told = await onSmallFileSystem(
    t,
    directory,
    `
writeFileSync("${directory}/log.1", "o".repeat(100_000));
try { for (;;) writeSync(log.fd, "0123456789abcde\\n".repeat(64)); } catch {}
const size = log.size();
const { droppedBytes, fault } = await log.rotate(1_000_000);
const { bavail, bsize } = statfsSync("${directory}");
tell({ size, droppedBytes, fault: String(fault), now: log.size(), older: existsSync("${directory}/log.1"), free: bavail * bsize, end: log.words(40) });
`,
  );
  if (told === undefined) return t.skip("needs the right to mount");
  assert.match(told.fault, /ENOSPC/);
  assert.ok(told.size > 1_500_000);
  assert.ok(told.now <= 250_100 && told.now > 60_000, `the log has ${told.now} bytes`);
  assert.ok(told.free > 1_500_000, `${told.free} bytes are free`);
  assert.equal(told.older, false);
  assert.ok(told.droppedBytes + told.now - told.size < 100);
  assert.match(told.end, /^0123456789abcde\n(0123456789abcde\n|0*$)/);
});

/**
 * Guards against a copy that was shortened for the collapse and could not be made whole again: the log was not emptied, or bytes
 * were in neither file. `lines`: within the limit, and beyond it, where the older file ends in the middle of a page.
 */
for (const lines of [12_000, 40_100]) {
  test(`a disk that fills up while the head of ${lines} lines is not taken away costs nothing that is not counted`, async (t) => {
    const { directory } = setUpLog(t);
    const told = await onSmallFileSystem(
      t,
      directory,
      `
const line = (i) => \`line \${String(i).padStart(9, "0")}\n\`;
for (let i = 0; i < ${lines}; i++) writeSync(log.fd, line(i));
const size = log.size();
collapse = async () => {
  try { for (;;) appendFileSync("${directory}/other", Buffer.alloc(4096)); } catch {}
  return false;
};
const { droppedBytes, emptied, fault } = await log.rotate(400_000);
tell({ size, droppedBytes, emptied, fault, older: readFileSync("${directory}/log.1", "utf8"), now: readFileSync("${directory}/log", "utf8") });
`,
    );
    if (told === undefined) return t.skip("needs the right to mount");
    assert.deepEqual([told.emptied, told.fault], [true, undefined]);
    const kept = (told.older + told.now).replace(`[rpb: ${told.droppedBytes} bytes dropped]\n`, "");
    assert.equal(kept.length + told.droppedBytes, told.size);
    const first = told.droppedBytes / "line 000000000\n".length;
    assert.equal(
      kept,
      Array.from({ length: lines - first }, (_, i) => `line ${String(first + i).padStart(9, "0")}\n`).join(""),
    );
    assert.ok(told.now.length < 4096, `the log has ${told.now.length} bytes`);
  });
}

/** As on a file system that copies on write and is full; here an append-only file stands for it. */
test("where the older file cannot be shortened the log is emptied, and both are the whole output", async (t) => {
  const { path, open } = setUpLog(t);
  const log = open();
  const lines = Array.from({ length: 1001 }, (_, i) => `line ${i}\n`).join("");
  writeSync(log.fd, lines);
  const attribute = (flag: string): void => {
    execFileSync("chattr", [flag, `${path}.1`], { stdio: "ignore" });
  };
  let fixed: boolean | undefined;
  const source: LogSource = {
    fd: log.fd,
    path,
    collapseHead,
    // Asked when the copy is complete.
    stopped: () => {
      if (fixed === undefined && statSync(`${path}.1`).size === lines.length)
        try {
          attribute("+a");
          fixed = true;
        } catch {
          fixed = false;
        }
      return false;
    },
    emptying: () => {},
    emptied: () => {},
  };
  const rotation = await rotateOpenLog(source, 2 ** 17);
  if (fixed) attribute("-a");
  else return t.skip("needs a file system with attributes, and the right to set them");
  assert.deepEqual(rotation, { droppedBytes: 0, emptied: true });
  assert.deepEqual([text(`${path}.1`), text(path)], [lines, ""]);
});

/**
 * Runs `program`, which has `log` and `tell`, and may set `collapse`, with a file system of 2 MiB at `directory`: in a mount namespace of its own, so
 * that nothing has to be unmounted. What it tells; undefined without the right to mount.
 */
// biome-ignore lint/suspicious/noExplicitAny: what comes depends on the program.
async function onSmallFileSystem(t: TestContext, directory: string, program: string): Promise<any> {
  const module = new URL("./log-file.ts", import.meta.url).pathname;
  const script = join(directory, "..", `fill-${process.pid}.mjs`);
  writeFileSync(
    script,
    `
import { createLogOpener } from ${JSON.stringify(module)};
import { appendFileSync, existsSync, readFileSync, statfsSync, writeFileSync, writeSync } from "node:fs";
let collapse = async () => false;
const log = createLogOpener((fd, bytes) => collapse(fd, bytes))("${directory}/log");
const tell = (value) => console.log(JSON.stringify(value));
${program}`,
  );
  t.after(() => rmSync(script));
  const mount = `mount -t tmpfs -o size=2m,mode=0700 tmpfs "${directory}" || exit 99; exec "$@"`;
  const child: ChildProcess = spawn(
    "unshare",
    ["-m", "sh", "-c", mount, "sh", process.execPath, "--import", "tsx", script],
    { stdio: ["ignore", "pipe", "inherit"], cwd: new URL("../../../..", import.meta.url).pathname },
  );
  const chunks: Buffer[] = [];
  child.stdout?.on("data", (chunk: Buffer) => chunks.push(chunk));
  const [code] = await once(child, "close");
  return code === 99 || code === 1 ? undefined : JSON.parse(Buffer.concat(chunks).toString());
}
