/**
 * Loading the other file of the client (runtime.ts). Node 20 remembers for ever that a file could not be read, and the file
 * that its native part could not be loaded; but a process may run out of descriptors for a moment only. Under another
 * query it is another module.
 */
import { type BrokerError, isPermanent } from "../base/errors.ts";
import { brokerErrorFrom } from "../base/system-error.ts";
import type { Platform } from "../platform/ports/index.ts";

export type Runtime = typeof import("./runtime.ts");

/** How often it was loaded again. */
let copy = 0;

/** @throws as import() does; another call tries again */
export function loadRuntime(): Promise<Runtime> {
  return tried(importCopy);
}

/** @throws as `loadPlatform` in platform/platform.ts, and as import() does; another call tries again */
export function loadPlatform(): Promise<Platform> {
  return tried(async () => (await importCopy()).loadPlatform());
}

async function importCopy(): Promise<Runtime> {
  if (copy === 0) return import("./runtime.ts");
  // From every bundle that this is part of: all lie as deep.
  const path = import.meta.url.endsWith(".ts") ? "../client/runtime.ts" : "../client/runtime.js";
  const { href } = new URL(`${path}?again=${copy}`, import.meta.url);
  return (await import(href)) as Runtime;
}

/** A module is never freed: the next call loads another copy only where this one remembers what may have passed by then. */
async function tried<T>(load: () => Promise<T>): Promise<T> {
  const asked = copy;
  try {
    return await load();
  } catch (error) {
    // Calls that failed together count once.
    if (copy === asked && mayPass(brokerErrorFrom(error))) copy += 1;
    throw error;
  }
}

/** A system call for which something lacked (descriptors, memory); the same file is good another time. */
function mayPass(error: BrokerError): boolean {
  return error.code === "IO_FAILED" && !isPermanent(error);
}
