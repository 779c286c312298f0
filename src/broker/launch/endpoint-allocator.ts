/** Fresh, unguessable addresses for launched backends (spec: launch §2), checked against the file system as well. */
import { BrokerError } from "../../base/errors.ts";
import { backendName } from "../../model/names.ts";
import { endpointPath, type PlaceInputs } from "../../model/places.ts";
import type { Platform } from "../../platform/ports/index.ts";

const ATTEMPTS = 16;
const RANDOM_BYTES = 16;

export interface EndpointAllocator {
  /**
   * A path that nothing is at and that was handed out to nobody else; its directory exists and is private.
   * `companion` is an address derived from it that has to fit as well.
   *
   * @throws BrokerError PATH_TOO_LONG, DIRECTORY_INSECURE, IO_FAILED, SPAWN_FAILED when every attempt collided
   */
  allocate(companion?: (path: string) => string): string;
  /** Gives a path back once nothing uses it. */
  release(path: string): void;
}

export function createEndpointAllocator(
  platform: Pick<Platform, "files" | "host">,
  places: PlaceInputs,
): EndpointAllocator {
  const reserved = new Set<string>();
  return {
    allocate(companion) {
      for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
        const path = endpointPath(
          places,
          backendName(platform.host.userHash(), platform.host.randomBytes(RANDOM_BYTES)),
          companion,
        );
        if (attempt === 0) platform.files.ensurePrivateDirectory(platform.files.paths.dirname(path));
        if (reserved.has(path) || platform.files.facts(path) !== undefined) continue;
        reserved.add(path);
        return path;
      }
      throw new BrokerError("SPAWN_FAILED", `backend endpoint collisions exhausted after ${ATTEMPTS} attempts`);
    },
    release(path) {
      reserved.delete(path);
    },
  };
}
