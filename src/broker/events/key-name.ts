import type { BackendKey } from "../../model/backend-key.ts";

/** A backend in messages. */
export function keyName(key: BackendKey): string {
  return `${key.service} ${key.version}`;
}
