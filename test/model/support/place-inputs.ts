/** What places are derived from, on each system. */
import type { PlaceInputs } from "../../../src/model/places.ts";

type Env = PlaceInputs["env"];

export function linux(env: Env): Partial<PlaceInputs> {
  return { os: "linux", env };
}

export function darwin(env: Env): Partial<PlaceInputs> {
  return { os: "darwin", env };
}

export function win32(env: Env): Partial<PlaceInputs> {
  return { os: "win32", env };
}

export function inputs(at: Partial<PlaceInputs>): PlaceInputs {
  return { os: "linux", env: {}, uid: 1000, home: "/home/u", ...at };
}
