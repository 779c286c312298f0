/** The line on standard output by which a started broker says that it accepts. */
import { isSteering, jsonLine } from "../base/printable.ts";

/**
 * `ready ENDPOINT`, without its line end. An endpoint that would end the line or steer a terminal is a JSON string with
 * escapes: a path begins with a slash, a string with a quotation mark.
 */
export function readyLine(endpoint: string): string {
  return `ready ${isSteering(endpoint) ? jsonLine(endpoint) : endpoint}`;
}
