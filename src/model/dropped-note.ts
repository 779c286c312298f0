/** The line that stands in a log where bytes were dropped to keep it within its limit. */

/** At most so many bytes has a note. */
export const MAX_NOTE_BYTES = 64;
const NOTE = /^\[rpb: (\d{1,16}) bytes dropped\]\n/;

/** One line with its end. */
export function droppedNote(bytes: number): string {
  return `[rpb: ${bytes} bytes dropped]\n`;
}

export interface DroppedNote {
  readonly droppedBytes: number;
  /** Its own length. */
  readonly noteBytes: number;
}

/** The note that `text` begins with; undefined when it begins with none. */
export function readDroppedNote(text: string): DroppedNote | undefined {
  const match = NOTE.exec(text);
  return match === null ? undefined : { droppedBytes: Number(match[1]), noteBytes: match[0].length };
}
