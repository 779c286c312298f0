/**
 * A lock file in a private directory. A broker that ends removes a fallback directory that it leaves empty
 * (model/places.ts), perhaps between another process's check of the directory and its first file there.
 */
import { hasCode } from "../base/errors.ts";
import type { FileLock, Platform } from "../platform/ports/index.ts";

const ATTEMPTS = 20;

/**
 * Undefined when another process holds the lock. The caller has had the directory checked by `ensurePrivateDirectory`; it is
 * created again when it is gone. A client that waits for another one's start comes here at every poll: what is private can be
 * opened or given away by its owner and root only, and the lock file itself is checked each time, so the directory is not.
 *
 * @throws BrokerError DIRECTORY_INSECURE, FILE_INSECURE, IO_FAILED
 */
export function takePrivateLock(
  { files, locks }: Pick<Platform, "files" | "locks">,
  path: string,
): FileLock | undefined {
  for (let attempt = 1; ; attempt++) {
    try {
      return locks.tryAcquire(path);
    } catch (error) {
      const vanished = hasCode(error, "IO_FAILED") && error.details.errno === "ENOENT";
      if (!vanished || attempt === ATTEMPTS) throw error;
    }
    makeAgain(files, files.paths.dirname(path));
  }
}

/** It may vanish once more meanwhile: the next attempt says so. */
function makeAgain(files: Platform["files"], directory: string): void {
  try {
    files.ensurePrivateDirectory(directory);
  } catch (error) {
    if (!hasCode(error, "IO_FAILED") || error.details.errno !== "ENOENT") throw error;
  }
}
