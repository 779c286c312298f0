/**
 * A lock file in a private directory. A broker that ends removes a fallback directory that it leaves empty
 * (model/places.ts), perhaps between another process's check of the directory and its first file there.
 */
import { posix } from "node:path";
import { hasCode } from "../base/errors.ts";
import type { FileLock, Platform } from "../platform/ports.ts";

const ATTEMPTS = 20;

/**
 * Creates the directory when it is not there. Undefined when another process holds the lock.
 *
 * @throws BrokerError DIRECTORY_INSECURE, FILE_INSECURE, IO_FAILED
 */
export function takePrivateLock(
  { files, locks }: Pick<Platform, "files" | "locks">,
  path: string,
): FileLock | undefined {
  for (let attempt = 1; ; attempt++) {
    try {
      files.ensurePrivateDirectory(posix.dirname(path));
      return locks.tryAcquire(path);
    } catch (error) {
      const vanished = hasCode(error, "IO_FAILED") && error.details.errno === "ENOENT";
      if (!vanished || attempt === ATTEMPTS) throw error;
    }
  }
}
