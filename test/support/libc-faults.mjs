/**
 * Makes functions of the C library fail, as koffi gives them to programs: they return -1, and errno says why. What Node has no
 * interface for, or turns off under its permission model, goes that way and past any failure of node:fs.
 */
import { createRequire } from "node:module";

const native = createRequire(import.meta.url)(`@koromix/koffi-${process.platform}-${process.arch}`);

/**
 * To be called before the program loads its native part.
 *
 * @param {(name: string, values: unknown[]) => string | undefined} errnoOf asked at each call: the symbolic errno that it fails
 * with, `undefined` for the real call. Calls on a thread of the pool are not asked about.
 */
export function failLibc(errnoOf) {
  const { load } = native;
  native.load = (...args) => {
    const library = load(...args);
    // Its own properties are read-only.
    return Object.create(library, {
      func: { value: (...declaration) => failing(library.func(...declaration), nameIn(declaration[0]), errnoOf) },
    });
  };
}

/** Of a whole declaration or a bare name. */
function nameIn(declaration) {
  return /(\w+)\s*(?:\(|$)/.exec(declaration)[1];
}

function failing(real, name, errnoOf) {
  const call = (...values) => {
    const errno = errnoOf(name, values);
    if (errno === undefined) return real(...values);
    // A close that fails has closed all the same (close(2)).
    if (name === "close") real(...values);
    native.errno(native.os.errno[errno]);
    return -1;
  };
  return Object.assign(call, { async: real.async });
}
