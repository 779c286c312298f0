/** Every verb of both programs, in this process: `node sweep-verbs.mjs ENDPOINT`, of a broker that runs. */
import { PassThrough, Readable } from "node:stream";
import { ERROR_TABLE } from "../../../dist/base/errors.js";
import { runCompat } from "../../../dist/cli/compat-program.js";
import { createOutput } from "../../../dist/cli/output.js";
import { runProgram } from "../../../dist/cli/program.js";
import { workingDirectory } from "../../../dist/platform/platform.js";
import { sweep } from "./sweep.mjs";

const [endpoint, root, service] = process.argv.slice(2);
// Relative paths of the verbs are below it.
process.chdir(root);
const EXITS = new Set(Object.values(ERROR_TABLE).map(({ exit }) => exit));

async function run(program, args) {
  let out = "";
  let err = "";
  const code = await program({
    args,
    env: process.env,
    get cwd() {
      return workingDirectory();
    },
    stdin: Readable.from([`name = "piped"\nbinary = "/bin/true"\n`]),
    stdout: new PassThrough(),
    stdoutIsTerminal: false,
    stderrIsTerminal: false,
    ...createOutput({
      stdoutIsTerminal: false,
      writeOut: (text) => {
        out += text;
      },
      writeErr: (text) => {
        err += text;
      },
    }),
    heap: async () => ({ keepSmall() {}, tidy() {} }),
    closeUnaskedDebugger() {},
    onTermination: () => ({ dispose() {} }),
    onHangup: () => ({ dispose() {} }),
    endOutput: async () => {},
    exit: () => Promise.reject(new Error("a verb ended the process")),
  });
  if (/INTERNAL|^\s+at .*:\d+:\d+/m.test(out + err)) throw new Error(`exit ${code}: ${out}${err}`);
  if (code === 70 || (code !== 0 && code !== 1 && code !== 2 && !EXITS.has(code)))
    throw new Error(`exit ${code}: ${out}${err}`);
  if (code !== 0 && out + err === "") throw new Error(`exit ${code} and not a word`);
}

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
await sweep(subjects);
process.exit();
