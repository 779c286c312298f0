import type { BackendKey } from "./launcher.ts";

/** A backend in messages. */
export function keyName(key: BackendKey): string {
  return `${key.service} ${key.version}`;
}
