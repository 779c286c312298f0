/** The directory of service definitions that a verb works on. */
import { definitionDirectory } from "../../model/places.ts";
import { createDefinitionStore, type DefinitionStore } from "../../store/definition-store.ts";
import type { CliContext } from "../shell/context.ts";
import { absolutePath } from "../shell/option-parsers.ts";

/** The definitions in `directory`, by default those of this user, and where that choice came from. */
export async function openDefinitions(
  context: CliContext,
  directory: string | undefined,
): Promise<{ store: DefinitionStore; source: string }> {
  const { files } = await context.platform();
  if (directory !== undefined)
    return {
      store: createDefinitionStore(files, absolutePath(directory, context.io.cwd)),
      source: "flag:--service-def-dir",
    };
  const { path, source } = definitionDirectory(context.places);
  return { store: createDefinitionStore(files, path), source };
}
