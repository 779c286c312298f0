/** A tool and its service in a runtime directory of a given length. */
import assert from "node:assert/strict";
import { existsSync, lstatSync, mkdtempSync, readdirSync, rmdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import type { TestContext } from "node:test";
import { socketDirectories } from "../../../src/model/places.ts";
import { placeInputs } from "../../../src/platform/platform.ts";
import { createWorld, type Finished, RPB, type World } from "../../support/world.ts";

/** A directory whose path has exactly so many bytes; its name ends in `end`. */
export function ofBytes(bytes: number, end = ""): string {
  const start = `${tmpdir()}/`;
  const room = bytes - start.length - Buffer.byteLength(end);
  // mkdtemp(3) makes the last six; a file name has at most 255.
  const path = `${mkdtempSync(`${start}${"r".repeat(Math.max(0, room - 6))}`)}${end}`;
  assert.equal(Buffer.byteLength(path), bytes);
  // It only had to find a name that is free.
  if (end !== "" && !end.startsWith("/")) rmdirSync(path.slice(0, -end.length));
  return path;
}

export interface Tool {
  readonly world: World;
  rpb(...args: string[]): Promise<Finished>;
  /** What a tool gets: the answer, and where it came from. */
  ask(service?: string): Promise<{ answer: string; endpoint: string; startedBroker: boolean }>;
  /** Sockets and what is beside them, links left out. */
  files(): string[];
  places(): readonly string[];
}

export async function createTool(
  t: TestContext,
  directory: string,
  services: readonly string[] = ["tool"],
): Promise<Tool> {
  let rpb: Tool["rpb"] = async () => ({ code: 0, signal: null, stdout: "", stderr: "" });
  // Before the world's own hook: they run in the order of their registration.
  t.after(() => rpb("stop", "--all", "--with-backends", "--timeout", "1s"));
  const world = await createWorld(t, { runtimeDirectory: () => directory });
  // What was made for its parents.
  t.after(() =>
    rmSync(join(tmpdir(), relative(tmpdir(), directory).split("/")[0] ?? ""), { recursive: true, force: true }),
  );
  for (const serviceName of services) world.define({ serviceName });
  const client = world.install("client.mjs");
  rpb = (...args) => world.run(process.execPath, [RPB, ...args]);
  const places = (): readonly string[] => socketDirectories(placeInputs(world.env));
  return {
    world,
    rpb,
    places,
    async ask(service = "tool") {
      const { stdout, stderr } = await world.run(process.execPath, [client, service, "1.0.0", "olleh"], {
        // A broker that is stopped meanwhile may cut it off while it is handed over.
        env: { IDEMPOTENT: "1" },
      });
      assert.match(stdout, /"answer"/, stdout + stderr);
      return JSON.parse(stdout);
    },
    files: () =>
      places()
        .filter((place) => existsSync(place))
        .flatMap((place) => readdirSync(place).map((name) => join(place, name)))
        .filter((path) => !lstatSync(path).isSymbolicLink()),
  };
}

export interface Status {
  readonly broker_pid: number;
  readonly backends: readonly [{ readonly pid: number }];
}

export async function statusOf({ rpb }: Tool): Promise<Status> {
  return JSON.parse((await rpb("status", "--json", "--service", "tool")).stdout) as Status;
}
