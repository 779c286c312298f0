// A backend that writes 400 MB/s into its log: how long others wait for the broker meanwhile, and what is left on the disk.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { program, startServer } from "../frame/children.mjs";
import { HEALTHZ, timeReply } from "../lean/healthz.mjs";
import { encodeHello, sayHello } from "../lean/hello.mjs";
import { socketAddress } from "../lean/libc.mjs";
import { logBytes } from "../lean/log-bytes.mjs";
import { openWorld, VERSION } from "../stage/world.mjs";

const WRITER = "bench-writer";
const RATE = 400;
const SECONDS = 5;
const SMOKE_SECONDS = 0.3;
/** After the end of the burst. */
const AFTER_MS = 1_000;
const PAUSE_MS = 5;
const MIB = 1024 * 1024;

export default {
  name: "logs",
  title: `HEALTHZ while a backend writes ${RATE} MB/s to its log (limit 1 MiB), and the size of that log and its older file`,
  samples: 500,
  smokeSamples: 5,
  rows: [
    { id: "quiet", name: "HEALTHZ, no backend writes", unit: "ms" },
    { id: "busy", name: "HEALTHZ, one backend writes", unit: "ms", against: "bare" },
    { id: "bare", name: "bare net.Server, one backend writes", unit: "ms" },
    { id: "rate", name: "written by the backend", unit: "MB/s", better: "higher" },
    { id: "during", name: "log and older file, while it writes", unit: "MiB" },
    { id: "after", name: `log and older file, ${AFTER_MS / 1000} s later`, unit: "MiB" },
  ],
  targets: [
    { row: "busy", figure: "p99", atMost: 100 },
    { row: "after", figure: "p99", atMost: 2 },
  ],
  async measure({ samples, smoke }) {
    const report = { path: "" };
    const world = await openWorld({
      prepare({ root, services }) {
        report.path = join(root, "written.json");
        const args = [String(RATE), String(smoke ? SMOKE_SECONDS : SECONDS), report.path];
        services.add({ name: WRITER, binary: program("write-log.mjs"), exec: { args, ready: "listen" } });
      },
    });
    const bare = join(world.root, "bare");
    await startServer("net-server.mjs", { path: bare, mode: "once", readBytes: HEALTHZ.length, writeBytes: 64 });
    const measured = { quiet: [], busy: [], bare: [], rate: [], during: [], after: [] };
    for (let i = 0; i < samples; i++) measured.quiet.push(await timeReply(world.endpoint, HEALTHZ));

    sayHello(socketAddress(world.endpoint), encodeHello({ service: WRITER, version: VERSION, pid: process.pid }));
    while (!existsSync(report.path)) {
      measured.busy.push(await timeReply(world.endpoint, HEALTHZ));
      measured.bare.push(await timeReply(bare, HEALTHZ));
      measured.during.push(logMiB(world.env));
      await sleep(PAUSE_MS);
    }
    await sleep(AFTER_MS);
    measured.after.push(logMiB(world.env));
    const { bytes, ms } = JSON.parse(readFileSync(report.path, "utf8"));
    measured.rate.push(bytes / ms / 1000);
    return measured;
  },
};

function logMiB({ XDG_STATE_HOME }) {
  return logBytes(XDG_STATE_HOME, WRITER) / MIB;
}
