/** Endpoints are socket files. */
import { sameFile } from "../../../model/file-identity.ts";
import type { Endpoints, Files } from "../../ports/index.ts";

export function createEndpoints(files: Pick<Files, "facts" | "remove">): Endpoints {
  return {
    find: (path) => files.facts(path),
    exists: (path) => files.facts(path)?.kind === "socket",
    isSame: (path, found) => sameFile(files.facts(path), found),
    remove: (path) => files.remove(path),
  };
}
