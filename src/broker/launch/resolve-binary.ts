/** Which file a definition means for one version, and whether it may be run (spec: launch §1, steps 2-6). */
import { BrokerError, hasCode } from "../../base/errors.ts";
import type { FileStamp } from "../../model/file-identity.ts";
import { binaryPathFor, type ServiceDefinition } from "../../model/service-definition.ts";
import type { Files, Paths } from "../../platform/ports/index.ts";

export interface Binary {
  /** Canonical path. */
  readonly path: string;
  /** To notice when the file changes between this look and the end of the launch. */
  readonly stamp: FileStamp;
}

/** @throws BrokerError SPAWN_FAILED with the frozen text of the step that failed */
export function resolveBinary(files: Files, definition: ServiceDefinition, version: string): Binary {
  const wanted = binaryPathFor(definition, version);
  if (wanted === "") throw failed("backend binary_path is empty", wanted);
  if (definition.perVersionBinaryDir === "") throw failed("backend per_version_binary_dir is empty", wanted);
  const path = canonicalize(files, "binary_path", wanted);
  const root = canonicalize(files, "per_version_binary_dir", definition.perVersionBinaryDir);
  if (!isInside(files.paths, path, root))
    throw failed(`backend binary ${JSON.stringify(path)} is outside per-version root ${JSON.stringify(root)}`, path);
  const facts = files.facts(path);
  if (facts?.kind !== "file") throw failed(`backend binary ${JSON.stringify(path)} is not a regular file`, path);
  const fault = files.executableFault(path);
  if (fault !== undefined) throw failed(`backend binary ${JSON.stringify(path)} is not executable: ${fault}`, path);
  return { path, stamp: facts };
}

/** By whole path components: /opt/x2 is not inside /opt/x. */
export function isInside(paths: Paths, path: string, root: string): boolean {
  const relative = paths.relative(root, path);
  return relative !== "" && relative !== ".." && !relative.startsWith("../") && !paths.isAbsolute(relative);
}

function canonicalize(files: Files, field: string, path: string): string {
  try {
    return files.realpath(path);
  } catch (error) {
    if (!hasCode(error, "IO_FAILED")) throw error;
    throw failed(
      `backend ${field} ${JSON.stringify(path)} could not be canonicalized: ${error.details.errno}`,
      path,
      error,
    );
  }
}

function failed(what: string, path: string, cause?: unknown): BrokerError {
  return new BrokerError("SPAWN_FAILED", what, { details: { path, check: "binary_path" }, cause });
}
