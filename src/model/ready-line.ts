/** The line on standard output by which a started broker says that it accepts. */

/** What would end the line, steer a terminal, or is no character at all. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/**
 * `ready ENDPOINT`, without its line end. An endpoint with control characters is a JSON string of ASCII escapes: a path
 * begins with a slash, a string with a quotation mark.
 */
export function readyLine(endpoint: string): string {
  if (endpoint.search(UNPRINTABLE) < 0) return `ready ${endpoint}`;
  const json = JSON.stringify(endpoint).replace(UNPRINTABLE, (character) =>
    Array.from({ length: character.length }, (_, unit) => {
      const hex = character.charCodeAt(unit).toString(16);
      return `\\u${hex.padStart(4, "0")}`;
    }).join(""),
  );
  return `ready ${json}`;
}
