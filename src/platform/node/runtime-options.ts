/** What this process's Node was told to do, on its command line and by NODE_OPTIONS, before the program's first statement. */

/** Loads code that runs first, or names a file that may say so. */
const PRELOAD = /^(-r|--require|--import|--(experimental-)?(loader|config-file|default-config-file))/;
/** `--inspect-port` only says where. */
const DEBUGGER = /^--inspect(-brk|-wait|-brk-node)?(=|$)/;

/** Node writes the file as it ends. */
const PROFILE = /^--(cpu-prof|heap-prof|trace-event)/;

/** Is one of the options like this? They are shown with `-` for `_`, which Node takes for the same. */
export function runtimeWasTold(option: RegExp): boolean {
  const words = [...process.execArgv, ...splitNodeOptions(process.env.NODE_OPTIONS ?? "")];
  return words.some((word) => option.test(word.replaceAll("_", "-")));
}

export function isModulePreloaded(): boolean {
  return runtimeWasTold(PRELOAD);
}

export function isDebuggerAskedFor(): boolean {
  return runtimeWasTold(DEBUGGER);
}

export function isProfileAskedFor(): boolean {
  return process.env.NODE_V8_COVERAGE !== undefined || runtimeWasTold(PROFILE);
}

/**
 * The words of a value of NODE_OPTIONS. Spaces separate them, but not between double quotes, which may begin and end anywhere in a
 * word; there a backslash takes the next character as it is (node: ParseNodeOptionsEnvVar in src/node_options.cc).
 */
export function splitNodeOptions(text: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let isQuoted = false;
  for (let at = 0; at < text.length; at++) {
    const character = text[at] as string;
    if (character === '"') isQuoted = !isQuoted;
    else if (character === " " && !isQuoted) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else {
      if (character === "\\" && isQuoted) at++;
      word = (word ?? "") + (text[at] ?? "");
    }
  }
  return word === undefined ? words : [...words, word];
}
