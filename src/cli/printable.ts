/** Text of others on a terminal: brokers, daemons and files are ours, but their bytes do not get to steer it. */

/** Controls, DEL, C1 controls, line separators, changes of writing direction. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: this is what is looked for.
const STEERING = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;
/** Colours and the like (ECMA-48 SGR): harmless, and wanted by nobody as question marks. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: as above.
const STYLING = /\u001b\[[0-9;:]*m/g;

/** One line: whatever would steer becomes a question mark. */
export function printable(text: string): string {
  return text.replace(STEERING, "?");
}

/** Several lines: line ends and tabs stay, colours go. */
export function printableLines(text: string): string {
  return text
    .replace(STYLING, "")
    .replace(/\r\n/g, "\n")
    .replace(STEERING, (character) => (character === "\n" || character === "\t" ? character : "?"));
}
