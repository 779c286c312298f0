/** A broker of its own process keeps nothing of the program that started it: neither a script's lock nor another program's pipe. */
import { SUCCESSION_FD_VARIABLE } from "../../model/launch-environment.ts";
import { closeInherited } from "../../platform/platform.ts";
import type { Env } from "../../platform/ports/index.ts";

/** The very first work of a process that is to be a broker (@see closeInherited). Never throws. */
export function closeAllButOurs(env: Env): void {
  const succession = successionFd(env);
  closeInherited(succession === undefined ? [] : [succession]);
}

/** The socket to the broker whose place this process takes; undefined also when the variable holds no descriptor number. */
export function successionFd(env: Env): number | undefined {
  const text = env[SUCCESSION_FD_VARIABLE];
  return text !== undefined && /^[1-9]\d{0,5}$/.test(text) ? Number(text) : undefined;
}
