// One backend writes 400 MB/s to its log: the broker must answer all the same, and the log be within its limit afterwards.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { HEALTHZ, timeReply } from "../../bench/lean/healthz.mjs";

const SECONDS = 3;
/** The request that begins it. */
export const FLOOD_ORDER = `flood 400 ${SECONDS}`;
/** For a HEALTHZ meanwhile; below it is what a busy machine does by itself. */
const HEALTHZ_LIMIT_MS = 1_000;
/** From the end of the flood until the log and its older file must be within the limit of each. */
const SETTLE_MS = 1_000;
const LOG_LIMIT_BYTES = 2 * 1024 * 1024;
const PAUSE_MS = 10;

/** How the broker answered, and what the logs of the first service held. */
export async function watchFlood({ runtime, services: [service], writers, logBytes }) {
  const path = join(
    runtime,
    readdirSync(runtime).find((name) => name.endsWith("-shared.sock")),
  );
  let [healthz, worstMs, mostBytes] = [0, 0, 0];
  const end = performance.now() + SECONDS * 1000;
  while (performance.now() < end || writers().length > 0) {
    worstMs = Math.max(worstMs, Math.round(await timeReply(path, HEALTHZ)));
    mostBytes = Math.max(mostBytes, logBytes(service));
    healthz++;
    await sleep(PAUSE_MS);
  }
  await sleep(SETTLE_MS);
  return { healthz, worstMs, mostBytes, logBytes: logBytes(service) };
}

export function isHarmless({ worstMs, logBytes }) {
  return worstMs <= HEALTHZ_LIMIT_MS && logBytes <= LOG_LIMIT_BYTES;
}
