/** The real platform: the one place that chooses an operating system. */
import { BrokerError, reasonOf } from "../base/errors.ts";
import { brokerErrorFrom, codedNow, nodeErrno, systemCallFailed } from "../base/system-error.ts";
import type { OwnHeap } from "./node/own-heap.ts";
import type { Platform } from "./ports/index.ts";

/** Without native code. */
export { closeInherited } from "./linux/inherited-descriptors.ts";
/** The system clock needs no system to be loaded. */
export { systemClock } from "./node/clock.ts";
export { closeEarlyDebugger, closeUnaskedDebugger, ignoreDebugSignal } from "./node/debug-signal.ts";
export { isAt } from "./node/file-at.ts";
export {
  onHangupSignal,
  onTerminationSignal,
  placeInputs,
  printError,
  processEnv,
  takeLaunchEnvironment,
  tolerateOutputErrors,
  workingDirectory,
  writeLastWords,
} from "./node/own-process.ts";
export type { OwnHeap };

const LOADERS: Readonly<Partial<Record<NodeJS.Platform, () => Promise<() => Platform>>>> = {
  linux: async () => (await import("./linux/platform.ts")).createLinuxPlatform,
};

/**
 * One platform per call; nothing is shared or kept alive by it. Its modules (and koffi) are loaded by the first call,
 * so that whoever never needs the system does not pay for it.
 *
 * @throws BrokerError PLATFORM_UNSUPPORTED on anything but Linux, and where its native part is missing or may not be
 * loaded; IO_FAILED when a file of this package cannot be read now (EMFILE)
 */
export async function loadPlatform(): Promise<Platform> {
  const load = LOADERS[process.platform];
  if (load === undefined) {
    throw new BrokerError("PLATFORM_UNSUPPORTED", `this release runs on Linux, not on ${process.platform}`);
  }
  const create = await load().catch((error: unknown) => {
    throw notLoaded(error);
  });
  return codedNow(create);
}

/** koffi, which is part of this package, looks for its native code in a package of its own for each processor. */
function notLoaded(thrown: unknown): BrokerError {
  const name = `@koromix/koffi-${process.platform}-${process.arch}`;
  const error = /native Koffi module/.test(reasonOf(thrown)) ? nativeFault(name, thrown) : thrown;
  const reason = reasonOf(error);
  // dlopen(3) tells by its text alone that descriptors ran out.
  if (/too many open files/i.test(reason))
    return systemCallFailed({ syscall: "dlopen", errno: "EMFILE", path: name }, error);
  if (nodeErrno(error) !== undefined || !/koffi|libc\.so|shared object/i.test(reason)) return brokerErrorFrom(error);
  const cure = /failed to map|not permitted|permission denied/i.test(reason)
    ? `${name} must lie on a file system from which programs may be run (it is mounted noexec, or a security policy forbids it)`
    : /libc\.so/.test(reason)
      ? "it needs the GNU C library"
      : `it is the optional dependency ${name}, which npm leaves out with --omit=optional`;
  return new BrokerError("PLATFORM_UNSUPPORTED", `the native part could not be loaded (${reason}): ${cure}`, {
    cause: error,
  });
}

/** koffi says no more than that it found nothing; what kept it from that is said by loading the package once more. */
function nativeFault(name: string, otherwise: unknown): unknown {
  try {
    process.getBuiltinModule("node:module").createRequire(import.meta.url)(name);
    return otherwise;
  } catch (error) {
    return error;
  }
}

/** Loaded by its first call: only a daemon has use for it. The native part must have been loaded, or be there to be. */
export async function loadOwnHeap(): Promise<OwnHeap> {
  const [{ createOwnHeap }, { exitNow }] = await Promise.all([import("./node/own-heap.ts"), import("./posix/libc.ts")]);
  return createOwnHeap(exitNow);
}
