/** Which files lie where, and which imports the table of layers forbids. */
import type { Import } from "./sources.ts";
import { type Layer, type Room, TOP } from "./table.ts";

/** The layer, and the room in it, of a file. A layer without rooms is one room. */
export interface Place {
  readonly layer: Layer;
  readonly room: Room;
  /** As people read it: `broker/launch`, or `broker/` for the files at the top of a layer. */
  readonly name: string;
  /** Index into `layer.floors`: 0 is the highest. */
  readonly floor: number;
}

/** Why the layers and rooms of a table contradict each other. */
export function faultsOfTable(layers: readonly Layer[]): string[] {
  return layers.flatMap((layer, at) =>
    layer.mayImport
      .filter((name) => !layers.slice(at + 1).some((lower) => lower.name === name))
      .map((name) => `table of layers: ${layer.name} may import ${name}, which is no row below it`),
  );
}

/** `undefined` when the table has no row for the file. */
export function placeOf(layers: readonly Layer[], file: string): Place | undefined {
  const path = file.replace(/^src\//, "");
  const layer = layers.find(({ name }) => holds(name, path));
  if (layer === undefined) return undefined;
  if (layer.floors === undefined) {
    return { layer, room: { name: TOP, about: layer.about }, name: layer.name, floor: 0 };
  }
  const inside = path.slice(layer.name.length + 1);
  const rooms = layer.floors.flatMap((floor, index) => floor.map((room) => ({ room, floor: index })));
  const found = rooms
    .filter(({ room }) => (room.name === TOP ? !inside.includes("/") : holds(room.name, inside)))
    .sort((a, b) => b.room.name.length - a.room.name.length)[0];
  return found && { layer, ...found, name: roomName(layer, found.room) };
}

export function roomName(layer: Layer, room: Room): string {
  return room.name === TOP ? `${layer.name}/` : `${layer.name}/${room.name}`;
}

/** The rule that an import breaks, or `undefined`. */
export function brokenRule(layers: readonly Layer[], { from, to }: Import): string | undefined {
  const source = placeOf(layers, from);
  const target = placeOf(layers, to);
  // A file without a place is reported by itself.
  if (source === undefined || target === undefined) return undefined;
  if (source.layer !== target.layer) return brokenLayerRule(source.layer, target.layer, to);
  if (source.room.name === target.room.name || target.floor > source.floor) return undefined;
  const where = target.floor === source.floor ? "beside" : "above";
  return `${target.name} is ${where} ${source.name}; a room imports itself and rooms on lower floors, here ${lowerRooms(source)}`;
}

function brokenLayerRule(source: Layer, target: Layer, to: string): string | undefined {
  if (!source.mayImport.includes(target.name))
    return `${source.name} may import ${source.mayImport.join(", ") || "nothing"}`;
  const doors = target.doors?.map((door) => `${target.name}/${door}`);
  if (doors === undefined || doors.some((door) => holds(door, to.replace(/^src\//, "")))) return undefined;
  return `other layers import of ${target.name} only ${doors.join(" and ")}`;
}

function lowerRooms({ layer, floor }: Place): string {
  const lower = layer.floors?.slice(floor + 1).flat() ?? [];
  return lower.map((room) => roomName(layer, room)).join(", ") || "none";
}

/** Is the path that file, or below that folder? */
export function holds(name: string, path: string): boolean {
  return path === name || path.startsWith(name.endsWith("/") ? name : `${name}/`);
}
