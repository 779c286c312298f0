/** Paths that a user or a program gives: what no file system call could take as it is. Pure. */
import { BrokerError } from "./errors.ts";

/**
 * What makes a text no path at all; undefined when nothing does. Node gives U+FFFD for bytes that are not UTF-8, and what
 * they were is lost: the path would lead elsewhere. A real U+FFFD in a path is refused with them. At a NUL byte the
 * kernel's path ends.
 */
export function pathTextFault(path: string): string | undefined {
  if (/[\ufffd\p{Cs}]/u.test(path)) return "is not valid UTF-8";
  return path.includes("\0") ? "holds a NUL byte" : undefined;
}

/**
 * Returns the path of a file or directory that `source`, an option or a variable, gives. Sockets: `givenEndpoint`.
 *
 * @throws BrokerError OPTION_INVALID
 */
export function givenPath(path: string, source: string): string {
  const fault = pathTextFault(path);
  if (fault === undefined) return path;
  throw new BrokerError("OPTION_INVALID", `${source} ${fault}: ${JSON.stringify(path)}`, {
    details: { path, check: source },
  });
}
