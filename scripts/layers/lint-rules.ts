/** The rules `noRestrictedImports` of biome.json: they say in an editor already what check.ts finds for the whole checkout. */
import type { Layer } from "./table.ts";

/** What is read of biome.json; everything else is kept as it is. */
export interface BiomeConfig {
  readonly overrides: readonly Override[];
}

interface Override {
  readonly includes: readonly string[];
  readonly linter?: { readonly rules?: { readonly style?: { readonly noRestrictedImports?: unknown } } };
}

/** The configuration with all its overrides for imports, and no others, written anew behind those made by hand. */
export function withLintRules<T extends BiomeConfig>(config: T, layers: readonly Layer[]): T {
  const byHand = config.overrides.filter(({ linter }) => linter?.rules?.style?.noRestrictedImports === undefined);
  const generated = layers.map((layer) =>
    override([isFile(layer) ? `src/${layer.name}` : `src/${layer.name}/**`], {
      level: "error",
      options: { patterns: [{ group: forbidden(layer, layers), message: messageFor(layer, layers) }] },
    }),
  );
  return { ...config, overrides: [...byHand, ...generated, override(["src/**/*.test.ts"], "off")] };
}

function override(includes: readonly string[], noRestrictedImports: unknown): Override {
  return { includes, linter: { rules: { style: { noRestrictedImports } } } };
}

/** Patterns as in .gitignore: the last one that fits an import decides, and `!` allows it. */
function forbidden(layer: Layer, layers: readonly Layer[]): string[] {
  const up = isFile(layer) ? "./" : "../**/";
  return layers
    .filter((other) => other !== layer)
    .flatMap((other) => {
      if (isFile(other)) return layer.mayImport.includes(other.name) ? [] : [`../${other.name}`, `../../${other.name}`];
      const all = `${up}${other.name}/**`;
      if (!layer.mayImport.includes(other.name)) return [all];
      return other.doors === undefined ? [] : [all, ...other.doors.map((door) => `!${up}${other.name}/${glob(door)}`)];
    });
}

function messageFor(layer: Layer, layers: readonly Layer[]): string {
  if (layer.mayImport.length === 0) return `src/${layer.name} may import nothing else of this project.`;
  const allowed = layers
    .filter(({ name }) => layer.mayImport.includes(name))
    .flatMap(({ name, doors }) => doors?.map((door) => `${name}/${door}`) ?? [name]);
  return `src/${layer.name} may import from: ${allowed.join(", ")}.`;
}

function isFile({ name }: Layer): boolean {
  return name.endsWith(".ts");
}

function glob(door: string): string {
  return door.endsWith("/") ? `${door}**` : door;
}
