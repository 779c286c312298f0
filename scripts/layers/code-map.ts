/** The code map of docs/architecture.md: tables of the layers and of the rooms of each layer that has some. */
import { type Parts, table } from "../generated-parts.ts";
import { placeOf, roomName } from "./rules.ts";
import type { Layer } from "./table.ts";

export function codeMap(layers: readonly Layer[], files: readonly string[]): Parts {
  const places = files.map((file) => placeOf(layers, file));
  const filesOf = (layer: Layer): number => places.filter((place) => place?.layer === layer).length;
  const filesIn = (name: string): number => places.filter((place) => place?.name === name).length;
  const layerRows = layers.map((layer) => [
    code(pathOf(layer)),
    String(filesOf(layer)),
    layer.about,
    layer.mayNot ?? "",
    layer.mayImport.map(code).join(", ") || "nothing",
    layer.doors?.map(code).join(", ") ?? "",
  ]);
  const roomTables = layers.map((layer): [string, () => string] => [
    `rooms-${layer.name}`,
    () => {
      const floors = layer.floors ?? [];
      const rows = floors.flatMap((rooms, index) =>
        rooms.map((room) => {
          const name = roomName(layer, room);
          return [String(floors.length - index), code(name), String(filesIn(name)), room.about];
        }),
      );
      return table("> Floor|Room|> Files|What is in it", rows);
    },
  ]);
  return {
    layers: () => table("In `src`|> Files|What is in it|May not|May import|Doors", layerRows),
    ...Object.fromEntries(roomTables.filter((_, index) => layers[index]?.floors !== undefined)),
  };
}

function pathOf({ name }: Layer): string {
  return name.endsWith(".ts") ? name : `${name}/`;
}

function code(text: string): string {
  return `\`${text}\``;
}
