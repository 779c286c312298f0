/** The rules of layers, rooms and sizes, applied to all files of a checkout. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { cyclesOf, depthOf, type Graph, graphOf } from "./graph.ts";
import type { Limits } from "./limits.ts";
import { brokenRule, faultsOfTable, holds, type Place, placeOf, roomName } from "./rules.ts";
import { filesBelow, type Import, readImports, sourceFiles } from "./sources.ts";
import type { Layer } from "./table.ts";

export interface Result {
  /** One line each: the file, the import and the rule, or the number and the limit. */
  readonly faults: readonly string[];
  /** What was counted, in one line. */
  readonly summary: string;
}

/** @throws Error when a file of src is no part of the project of tsconfig.json */
export function checkSources(root: string, layers: readonly Layer[], limits: Limits): Result {
  const files = sourceFiles(root);
  const imports = readImports(root, files);
  const forbidden = checkImports(imports, new Set(files), layers, limits);
  const roomGraph = graphOf(roomArrows(forbidden.rest, layers));
  const cycles = [
    ...describeCycles("files", graphOf(imports.map(({ from, to }) => [from, to]))),
    ...describeCycles("rooms", roomGraph),
  ];
  const rooms = checkRooms(files, layers, limits);
  const lengths = checkLengths(root, limits);
  const { files: longFiles, rooms: largeRooms } = limits.toBeSplit;
  const arrows = [...roomGraph.values()].reduce((sum, targets) => sum + targets.size, 0);
  return {
    faults: [...faultsOfTable(layers), ...forbidden.faults, ...cycles, ...rooms.faults, ...lengths.faults],
    summary: [
      `${layers.length} layers`,
      `${rooms.count} rooms`,
      `${files.length} files`,
      `${cycles.length === 0 ? depthOf(roomGraph) : "unknown"} floors`,
      `${arrows} arrows between rooms`,
      `${cycles.length} cycles`,
      `${forbidden.count} arrows upwards, beside or past a door`,
      `largest room ${rooms.largest}`,
      `longest file ${lengths.longest}`,
      `still to be split: ${Object.keys(longFiles).length} files, ${Object.keys(largeRooms).length} rooms, ${forbidden.tolerated} arrows`,
    ].join(", "),
  };
}

function checkImports(
  imports: readonly Import[],
  files: ReadonlySet<string>,
  layers: readonly Layer[],
  limits: Limits,
) {
  const pending = new Set(limits.toBeSplit.imports.map(([from, to]) => `${from} to ${to}`));
  const tolerated = new Set<string>();
  const faults: string[] = [];
  const rest: Import[] = [];
  for (const each of imports) {
    const { from, to, line, specifier } = each;
    const pair = `${from} to ${to}`;
    // Else a test, a file outside of src, or "./x.js" for x.ts, which would hide a cycle.
    const rule = files.has(to) ? brokenRule(layers, each) : "there is no source file of this name in src";
    if (rule !== undefined && pending.has(pair)) tolerated.add(pair);
    else {
      rest.push(each);
      if (rule !== undefined) faults.push(`${from}:${line}: import of ${specifier}: ${rule}`);
    }
  }
  const count = faults.length;
  for (const pair of pending) {
    if (!tolerated.has(pair)) faults.push(`toBeSplit.imports: ${pair} breaks no rule; remove it from the list`);
  }
  return { faults, rest, count, tolerated: tolerated.size };
}

function roomArrows(imports: readonly Import[], layers: readonly Layer[]): [from: string, to: string][] {
  return imports.flatMap(({ from, to }): [string, string][] => {
    const source = placeOf(layers, from);
    const target = placeOf(layers, to);
    return source === undefined || target === undefined ? [] : [[source.name, target.name]];
  });
}

function describeCycles(what: string, graph: Graph): string[] {
  return cyclesOf(graph).map((cycle) => `cycle of ${what}: ${cycle.join(" -> ")}`);
}

function checkRooms(files: readonly string[], layers: readonly Layer[], limits: Limits) {
  const faults: string[] = [];
  const byRoom = new Map<string, { place: Place; count: number }>();
  for (const file of files) {
    const place = placeOf(layers, file);
    if (place === undefined) faults.push(`${file}: no room of the table of layers holds it`);
    else byRoom.set(place.name, { place, count: (byRoom.get(place.name)?.count ?? 0) + 1 });
  }
  for (const name of layers.flatMap(roomNames)) {
    if (!byRoom.has(name)) faults.push(`table of layers: ${name} has no file`);
  }
  const rooms = [...byRoom.values()].filter(({ place }) => place.layer.floors !== undefined);
  const pending = limits.toBeSplit.rooms;
  for (const { place, count } of rooms) {
    const limit = place.room.oneFileFor === undefined ? limits.filesPerRoom : limits.filesPerRoomOfOneKind;
    faults.push(...faultsOfSize(place.name, count, "files", limit, pending[place.name], "toBeSplit.rooms"));
  }
  for (const name of Object.keys(pending)) {
    if (!rooms.some(({ place }) => place.name === name)) faults.push(`toBeSplit.rooms: there is no room ${name}`);
  }
  const within = rooms.filter(({ place }) => pending[place.name] === undefined).sort((a, b) => b.count - a.count)[0];
  return { faults, count: rooms.length, largest: within ? `${within.place.name} (${within.count} files)` : "none" };
}

function roomNames(layer: Layer): string[] {
  return layer.floors?.flat().map((room) => roomName(layer, room)) ?? [layer.name];
}

function checkLengths(root: string, limits: Limits) {
  const faults: string[] = [];
  const pending = limits.toBeSplit.files;
  const lengths = ["src", "test", "bench", "scripts"]
    .flatMap((folder) => filesBelow(root, folder))
    .filter((file) => !limits.generated.some((name) => holds(name, file)))
    .map((file) => ({ file, lines: readFileSync(join(root, file), "utf8").split("\n").length - 1 }));
  for (const { file, lines } of lengths) {
    if (limits.tables[file] === undefined)
      faults.push(...faultsOfSize(file, lines, "lines", limits.linesPerFile, pending[file], "toBeSplit.files"));
    else if (lines <= limits.linesPerFile)
      faults.push(`tables: ${file} has only ${lines} lines; remove it from the list`);
  }
  for (const [list, names] of Object.entries({ tables: limits.tables, "toBeSplit.files": pending })) {
    for (const name of Object.keys(names)) {
      if (!lengths.some(({ file }) => file === name)) faults.push(`${list}: there is no file ${name}`);
    }
  }
  const within = lengths
    .filter(({ file }) => limits.tables[file] === undefined && pending[file] === undefined)
    .sort((a, b) => b.lines - a.lines)[0];
  return { faults, longest: within ? `${within.file} (${within.lines} lines)` : "none" };
}

/** `pending`: the most that is tolerated for the time being. */
function faultsOfSize(
  name: string,
  size: number,
  unit: string,
  limit: number,
  pending: number | undefined,
  list: string,
): string[] {
  if (size > (pending ?? limit)) return [`${name}: ${size} ${unit}, and at most ${pending ?? limit} are allowed`];
  if (pending !== undefined && size <= limit)
    return [`${list}: ${name} has only ${size} ${unit}; remove it from the list`];
  return [];
}
