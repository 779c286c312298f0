/** A broker of its own process keeps nothing of whoever started it: neither a script's lock nor another program's pipe. */
import { SUCCESSION_FD_VARIABLE } from "../broker/successor.ts";
import { closeInheritedDescriptors } from "../platform/platform.ts";
import type { Env } from "../platform/ports.ts";

/** First thing at the start of a process that is to be a broker. Never rejects. */
export function closeAllButOurs(env: Env): Promise<void> {
  const succession = successionFd(env);
  return closeInheritedDescriptors(succession === undefined ? [] : [succession]);
}

/** The socket to the broker whose place this process takes; undefined also when the variable holds no descriptor number. */
export function successionFd(env: Env): number | undefined {
  const text = env[SUCCESSION_FD_VARIABLE];
  return text !== undefined && /^[1-9]\d{0,5}$/.test(text) ? Number(text) : undefined;
}
