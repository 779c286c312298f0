// @ts-check
/**
 * The process of a command line that is run inside another one: for tests, which run src, and for sweeps, which run dist.
 * JavaScript, because the latter are run by Node alone; it is checked against the interface all the same.
 *
 * @import { Output, OutputSink } from "../../src/cli/shell/output.ts"
 * @import { ProcessIo } from "../../src/cli/shell/process-io.ts"
 */
import { PassThrough, Readable } from "node:stream";

/**
 * @typedef {object} Written What was written to each stream so far.
 * @property {string} out
 * @property {string} err
 *
 * @typedef {(sink: OutputSink) => Output} CreateOutput That of src or of dist.
 */

/**
 * Output that is kept as text.
 *
 * @param {CreateOutput} createOutput
 * @param {{ terminal?: boolean }} [options] `terminal`: stdout is one; default false
 * @returns {{ output: Output, written: Written }}
 */
export function collectOutput(createOutput, { terminal = false } = {}) {
  const written = { out: "", err: "" };
  const output = createOutput({
    stdoutIsTerminal: terminal,
    writeOut: (text) => {
      written.out += text;
    },
    writeErr: (text) => {
      written.err += text;
    },
  });
  return { output, written };
}

/**
 * A process that no signal reaches and no reader leaves, with all that it wrote.
 *
 * @param {object} given
 * @param {CreateOutput} given.createOutput
 * @param {readonly string[]} given.args
 * @param {ProcessIo["env"]} given.env
 * @param {() => string} given.cwd Throws as ProcessIo says.
 * @param {string} [given.input] What stdin holds; default nothing.
 * @param {boolean} [given.terminal] Both output streams are one; default false.
 * @returns {{ io: ProcessIo, written: Written }}
 */
export function createFakeProcessIo({ createOutput, args, env, cwd, input = "", terminal = false }) {
  const { output, written } = collectOutput(createOutput, { terminal });
  /** @type {ProcessIo} */
  const io = {
    ...output,
    args,
    env,
    get cwd() {
      return cwd();
    },
    stdin: Readable.from([input]),
    stdout: new PassThrough(),
    stdoutIsTerminal: terminal,
    stderrIsTerminal: terminal,
    stderrIs: () => false,
    heap: async () => ({ keepSmall() {}, tidy() {} }),
    closeUnaskedDebugger() {},
    becomeDaemon() {},
    onTermination: () => ({ dispose() {} }),
    onHangup: () => ({ dispose() {} }),
    outputFault: async () => undefined,
    endOutput: async () => {},
    exit: () => Promise.reject(new Error("a verb ended the process")),
  };
  return { io, written };
}
