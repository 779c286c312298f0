/**
 * Loading the other file of the client (runtime.ts). Node 20 remembers for ever that a file could not be read, and the file
 * that its native part could not be loaded; but a process may run out of descriptors for a moment only. Under another
 * query it is another module.
 */
import type { Platform } from "../platform/ports.ts";

export type Runtime = typeof import("./runtime.ts");

let failures = 0;

/** @throws as import() does; another call tries again */
export function loadRuntime(): Promise<Runtime> {
  return counted(async () => {
    if (failures === 0) return import("./runtime.ts");
    // From every bundle that this is part of: all lie as deep.
    const path = import.meta.url.endsWith(".ts") ? "../client/runtime.ts" : "../client/runtime.js";
    const { href } = new URL(`${path}?again=${failures}`, import.meta.url);
    return (await import(href)) as Runtime;
  });
}

/** @throws as `loadPlatform` in platform/platform.ts, and as import() does; another call tries again */
export async function loadPlatform(): Promise<Platform> {
  const runtime = await loadRuntime();
  return counted(() => runtime.loadPlatform());
}

async function counted<T>(load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (error) {
    failures += 1;
    throw error;
  }
}
