// The main job, on real input: registers the formatting daemon beside this file, formats sources of this repository
// through it on every route, and compares with running the prettier command once per file.
//
//   npm run demo                 a table
//   npm run demo -- --json       for machines
//   npm run demo -- --files 10   how many sources (default 30)
import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { openServices } from "running-process-broker";
import { openSession } from "running-process-broker/client";

const SERVICE = "prettier-demo";
const FORMAT = 0xf101;
const here = dirname(fileURLToPath(import.meta.url));
const project = join(here, "../..");
const require = createRequire(import.meta.url);
const version = require("prettier/package.json").version;
const prettierCli = require.resolve("prettier/bin/prettier.cjs");
const rpb = join(project, "dist/cli/rpb.cjs");
const run = promisify(execFile);

const { values } = parseArgs({ options: { json: { type: "boolean" }, files: { type: "string", default: "30" } } });
const say = values.json ? () => {} : console.log;

// Short, whatever TMPDIR says: the socket paths below it must fit into the kernel's 107 bytes.
const root = await mkdtemp("/tmp/rpb-");
const env = {
  ...process.env,
  XDG_RUNTIME_DIR: root,
  XDG_CONFIG_HOME: join(root, "config"),
  XDG_STATE_HOME: join(root, "state"),
};
for (const name of Object.keys(env)) if (name.startsWith("RUNNING_PROCESS_")) delete env[name];
if (process.geteuid?.() === 0) {
  env.RUNNING_PROCESS_BROKER_ALLOW_PRIVILEGED = "1";
  say("Running as root: the broker would refuse to start, so RUNNING_PROCESS_BROKER_ALLOW_PRIVILEGED=1 is set for it.");
}

let pids = [];
let report;
try {
  report = await demonstrate();
} finally {
  if (report === undefined) await stopBroker();
  await rm(root, { recursive: true, force: true });
}
const leftovers = pids.filter(isAlive);
if (leftovers.length > 0) throw new Error(`processes left behind: ${leftovers.join(", ")}`);

if (values.json) console.log(JSON.stringify(report));
else print(report);
if (!report.identical) process.exitCode = 1;

async function demonstrate() {
  const services = await openServices({ env });
  services.add({ name: SERVICE, binary: join(here, "daemon.mjs") });

  const files = await pickSources(Number(values.files));
  say(`Formatting ${files.length} sources of this repository with prettier ${version}.\n`);

  const results = new Map();
  const options = { service: SERVICE, version, env };

  const cold = await formatOnce(options, files[0], results);
  const { connection } = cold;

  const negotiated = [];
  for (const file of files) negotiated.push(await formatOnce({ ...options, adopt: false }, file, results));
  const handedOff = [];
  for (const file of files) handedOff.push(await formatOnce(options, file, results));
  const skip = [];
  for (const file of files)
    skip.push(await formatOnce({ ...options, cachedEndpoint: connection.endpoint }, file, results));
  for (const [route, samples] of Object.entries({ negotiated, "handed-off": handedOff, skip })) {
    const others = samples.filter((sample) => sample.route !== route);
    if (others.length > 0) throw new Error(`${others.length} sessions came by ${others[0].route} instead of ${route}`);
  }

  const plain = [];
  for (const file of files) plain.push(await formatPlainly(file, results));

  await stopBroker();
  return {
    files: files.length,
    identical: [...results.values()].every((outputs) => outputs.size === 1),
    routes: {
      cold: { ms: round(cold.ms) },
      negotiated: { ms: median(negotiated) },
      "handed-off": { ms: median(handedOff) },
      skip: { ms: median(skip) },
    },
    plain_cli: { ms: median(plain) },
  };
}

/** One whole use as a tool would make it: reach the backend, one request, done. */
async function formatOnce(options, file, results) {
  const started = performance.now();
  // Formatting twice does no harm, so the request may travel along with the Hello.
  const firstRequest = { protocol: FORMAT, payload: Buffer.from(`${file.path}\n${file.text}`), idempotent: true };
  const session = await openSession({ ...options, firstRequest });
  try {
    const output = await session.firstResponse;
    const ms = performance.now() - started;
    remember(results, file, Buffer.from(output).toString());
    return { ms, route: session.connection.route, connection: session.connection };
  } finally {
    await session.close();
  }
}

async function formatPlainly(file, results) {
  const started = performance.now();
  const { stdout } = await run(process.execPath, [prettierCli, file.path], {
    cwd: project,
    maxBuffer: 16 * 1024 * 1024,
  });
  remember(results, file, stdout);
  return { ms: performance.now() - started };
}

function remember(results, file, output) {
  const outputs = results.get(file.path) ?? new Set();
  results.set(file.path, outputs.add(output));
}

/** Sources spread evenly over the tree, so that small and large ones are among them. */
async function pickSources(count) {
  const names = (await readdir(join(project, "src"), { recursive: true }))
    .filter((name) => name.endsWith(".ts") && !name.includes("gen/"))
    .sort();
  const step = Math.max(1, names.length / count);
  const picked = Array.from({ length: Math.min(count, names.length) }, (_, i) =>
    join(project, "src", names[Math.floor(i * step)]),
  );
  return Promise.all(picked.map(async (path) => ({ path, text: await readFile(path, "utf8") })));
}

async function stopBroker() {
  const status = await run(process.execPath, [rpb, "status", "--json", "--instance", `private:${SERVICE}`], {
    env,
  }).catch(() => undefined);
  if (status === undefined) return;
  const { broker_pid, backends } = JSON.parse(status.stdout);
  pids = [broker_pid, ...backends.map((backend) => backend.pid)];
  await run(process.execPath, [rpb, "stop", "--with-backends", "--instance", `private:${SERVICE}`], { env });
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

function median(samples) {
  const sorted = samples.map((sample) => sample.ms).sort((a, b) => a - b);
  return round(sorted[Math.floor(sorted.length / 2)]);
}

function round(ms) {
  return Math.round(ms * 10) / 10;
}

function print({ files, identical, routes, plain_cli }) {
  const rows = [
    ["cold: no broker, no backend", routes.cold.ms, "once"],
    ["negotiated: Hello to the broker", routes.negotiated.ms, "median per file"],
    ["handed-off: the broker's connection", routes["handed-off"].ms, "median per file"],
    ["skip: straight to the known backend", routes.skip.ms, "median per file"],
    ["plain prettier command", plain_cli.ms, "median per file"],
  ];
  for (const [what, ms, note] of rows) {
    console.log(
      `  ${what.padEnd(38)}${ms.toFixed(1).padStart(8)} ms  ${note.padEnd(16)}${(plain_cli.ms / ms).toFixed(1).padStart(7)} x`,
    );
  }
  console.log(
    `\n${files} files, output ${identical ? "identical" : "DIFFERENT"} on every route. Nothing was left running.`,
  );
}
