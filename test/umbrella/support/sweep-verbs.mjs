/** Every verb of both programs, in this process: `node sweep-verbs.mjs ENDPOINT`, of a broker that runs. */
import { ERROR_TABLE } from "../../../dist/base/errors.js";
import { runCompat } from "../../../dist/cli/compat/program.js";
import { runProgram } from "../../../dist/cli/program.js";
import { createOutput } from "../../../dist/cli/shell/output.js";
import { workingDirectory } from "../../../dist/platform/platform.js";
import { createFakeProcessIo } from "../../support/fake-process-io.mjs";
import { sweep } from "./sweep.mjs";

const [endpoint, root, service] = process.argv.slice(2);
// Relative paths of the verbs are below it.
process.chdir(root);
const EXITS = new Set(Object.values(ERROR_TABLE).map(({ exit }) => exit));

/** Resolves with the exit code and all that was written; throws what is not an answer in our own words. */
async function run(program, args) {
  const { io, written } = createFakeProcessIo({
    createOutput,
    args,
    env: process.env,
    cwd: workingDirectory,
    input: `name = "piped"\nbinary = "/bin/true"\n`,
  });
  const code = await program(io);
  const said = written.out + written.err;
  if (/INTERNAL|^\s+at .*:\d+:\d+/m.test(said)) throw new Error(`exit ${code}: ${said}`);
  if (code === 70 || (code !== 0 && code !== 1 && code !== 2 && !EXITS.has(code)))
    throw new Error(`exit ${code}: ${said}`);
  if (code !== 0 && said === "") throw new Error(`exit ${code} and not a word`);
  return { code, said };
}

/** A broker that ends by itself. */
const BROKER = `serve --socket ${root}/idle.sock --idle-exit 1ms`;
const LINES = [
  "status",
  "status --json",
  "status --socket @",
  `why ${service}`,
  "events",
  "events --json",
  `logs ${service}`,
  "list-instances",
  "list-instances --json",
  `backend-health ${service} --socket @`,
  "metrics --socket @",
  "dump --socket @",
  "config --socket @ --json",
  `diagnose --socket @ --output ${root}/diagnosis.tar.gz`,
  "diagnose --socket @ --output relative.tar.gz",
  `release-handles ${root} --socket @`,
  "release-handles . --socket @",
  "healthz --socket @",
  "readyz --socket @",
  `connect ${service} 1.0.0 --broker @ --no-start --timeout 10s`,
  `connect ${service} 1.0.0 --broker ${root}/none.sock --no-start --json`,
  "service list",
  "service list --json",
  `service show ${service}`,
  `service show ${service} --toml`,
  `service check ${service}`,
  "service add extra --binary /bin/true --force",
  "service add -f -",
  "service remove extra",
  "stop --instance explicit:nothing",
  "restart --instance explicit:nothing",
  "serve --max-connections 0",
  "serve --service x",
  "serve --socket @",
  BROKER,
  `serve --socket ${root}/registered.sock --service ${service} --version 1.0.0 --backend-endpoint ${root}/none.sock`,
];
const COMPAT_LINES = [
  "status",
  "--socket @ status --json",
  "--socket @ dump",
  "--socket @ metrics",
  "config",
  "diagnose --output compat.tar.gz",
  "servicedef install --service inst --binary-path /bin/true",
  "--version",
  "--serve-launch @",
  "--serve-once @",
];

const subjects = {};
for (const [name, program, lines] of [
  ["rpb", runProgram, LINES],
  ["compat", runCompat, COMPAT_LINES],
])
  for (const line of lines) {
    const args = line.replaceAll("@", endpoint).split(" ");
    // The modules of the verb are loaded by the first time: what is swept is what it does, not how it is loaded.
    await run(program, args).catch(() => {});
    subjects[`${name} ${line}`] = { run: () => run(program, args) };
  }
const served = await run(runProgram, BROKER.split(" "));
if (served.code !== 0 || !/^ready /m.test(served.said)) throw new Error(`no broker ran: ${served.said}`);
await sweep(subjects);
process.exit();
