/**
 * Text of other processes (backends, brokers, files, arguments) made fit for a terminal: it may hold any byte, and must
 * neither steer the terminal nor look like a line of ours. Pure.
 */

/** Controls, DEL, C1 controls, line separators, marks and changes of writing direction. */
const STEERING =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: this is what is looked for.
  /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb]/g;
/** Colours and the like (ECMA-48 SGR): harmless, and no help as question marks. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: as above.
const STYLING = /\u001b\[[0-9;:]*m/g;

/** One line: whatever would steer, line ends included, becomes a question mark. */
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

/**
 * JSON or TOML text with the same value, in which what would steer is written as \uXXXX: both ask for that only below
 * U+0020. Line ends and tabs between the values stay.
 */
export function printableEscaped(text: string): string {
  return text
    .replace(/\r\n?/g, "\n")
    .replace(STEERING, (character) =>
      character === "\n" || character === "\t"
        ? character
        : `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
    );
}

/** A value as one line of JSON, without the line end. */
export function jsonLine(value: unknown): string {
  return printableEscaped(JSON.stringify(value));
}
