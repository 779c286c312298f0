/**
 * Text of other processes (backends, brokers, files, arguments) made fit for a terminal: it may hold any byte, and must
 * neither steer the terminal nor look like a line of ours. Pure.
 */

/**
 * The one set: controls, what ends a line, and every format character (Cf), of which some change the direction of writing and
 * others are not to be seen, so that two texts look alike. It takes joiners, too: an emoji of several is shown as its parts,
 * and nothing else is lost. A surrogate without its other half is no text, and written as UTF-8 it is another character.
 */
const STEERING = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;
/** Colours and the like (ECMA-48 SGR): harmless, and no help as question marks. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: as above.
const STYLING = /\u001b\[[0-9;:]*m/g;

/** Does the text hold what would end its line or steer a terminal, or what is no character? */
export function isSteering(text: string): boolean {
  return text.search(STEERING) >= 0;
}

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
 * JSON text with the same value, in which what would steer is written as \uXXXX: JSON asks for that only below U+0020. Line
 * ends and tabs between the values stay.
 */
export function printableJson(text: string): string {
  return escapedWith(text, (character) => character.split("").map(unitEscape).join(""));
}

/** The same for TOML, which knows no surrogates. */
export function printableToml(text: string): string {
  return escapedWith(text, (character) => {
    const point = character.codePointAt(0) as number;
    return point > 0xffff ? `\\U${point.toString(16).padStart(8, "0")}` : unitEscape(character);
  });
}

function escapedWith(text: string, escapeOf: (character: string) => string): string {
  return text
    .replace(/\r\n?/g, "\n")
    .replace(STEERING, (character) => (character === "\n" || character === "\t" ? character : escapeOf(character)));
}

function unitEscape(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

/** A value as one line of JSON, without the line end. */
export function jsonLine(value: unknown): string {
  return printableJson(JSON.stringify(value));
}
