/** Where a broker's own socket and those of its backends are, out of what model/places.ts allows for. */
import { isBrokerError } from "../../base/errors.ts";
import { brokerName, type Instance } from "../../model/names.ts";
import { endpointPath, isFallbackDirectory, type PlaceInputs, socketDirectories } from "../../model/places.ts";
import type { Files, Platform } from "../../platform/ports/index.ts";
import type { BrokerAddress } from "../endpoint/claim-endpoint.ts";

/** `path` with the name of `instance`, when it was made of that name. `instance` undefined: any, or the shared one. */
export function brokerAddress(
  { host }: Pick<Platform, "host">,
  places: PlaceInputs,
  { path, instance }: { readonly path: string; readonly instance: Instance | undefined },
): BrokerAddress {
  try {
    const bareName = brokerName(host.userHash(), instance ?? { kind: "shared" });
    return { path, bareName: endpointPath(places, bareName) === path ? bareName : undefined };
  } catch (error) {
    // An address of the caller's own needs neither a machine id nor a runtime directory.
    if (isBrokerError(error)) return { path, bareName: undefined };
    throw error;
  }
}

/**
 * The directories that may hold records of backends. A second one that is not ours to use holds nothing of ours.
 *
 * @throws BrokerError ENDPOINT_INVALID
 */
export function recordDirectories(files: Files, places: PlaceInputs): readonly string[] {
  return socketDirectories(places).filter((directory, index) => index === 0 || isUsable(files, directory));
}

function isUsable(files: Files, directory: string): boolean {
  try {
    return files.checkPrivateDirectory(directory);
  } catch (error) {
    if (isBrokerError(error)) return false;
    throw error;
  }
}

/** Removes the fallback directory, which only sockets lead to, when nothing is in it. Its parent keeps others away. */
export function removeEmptyFallbacks(files: Files, places: PlaceInputs): void {
  try {
    for (const directory of socketDirectories(places))
      if (isFallbackDirectory(directory)) files.removeEmptyDirectory(directory);
  } catch (error) {
    // Where no directory can be told, none was used.
    if (!isBrokerError(error)) throw error;
  }
}
