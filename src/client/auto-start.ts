/**
 * Makes sure that a broker listens: a hundred clients that find none end up with one broker and a hundred connections.
 *
 * The lock file beside the socket decides who starts it. Its holder looks once more whether somebody listens by now,
 * and only then starts. Everybody else keeps trying to connect and to get the lock, so that a holder that dies (the
 * kernel drops its lock) is followed by the next. A start that failed fails all who waited for it, unless the broker was
 * killed: then another one is started.
 */
import { type BrokerError, hasCode, isBrokerError } from "../base/errors.ts";
import type { Connection, Platform } from "../platform/ports/index.ts";
import { takePrivateLock } from "../store/private-lock.ts";
import { dial } from "./dial.ts";
import { launchBroker } from "./launch-broker.ts";
import type { BrokerStart } from "./start-command.ts";
import { createStartFailureNote, type StartFailureNote } from "./start-failure.ts";
import type { TimeBox } from "./time-box.ts";

export interface OpenedBroker {
  readonly connection: Connection;
  /** This call started it. */
  readonly started: boolean;
}

/** Milliseconds between two looks of a client that waits; doubling. */
const POLL_MS = { first: 5, most: 100 };
/** Starts of one call that ended because another broker holds the endpoint without listening (it drains, or hangs). */
const MAX_STARTS = 20;
/** Processes of one start, if each is killed before it is ready. */
const MAX_LAUNCHES = 3;
/** Between two such starts. */
const RESTART_MS = 250;

/**
 * To be called after a connect found nobody. Creates the socket's directory.
 *
 * @throws BrokerError BROKER_START_FAILED, BROKER_UNAVAILABLE, DIRECTORY_INSECURE, FILE_INSECURE, PEER_UNVERIFIED,
 * DEADLINE_EXCEEDED, ABORTED, IO_FAILED, PATH_TOO_LONG, ENDPOINT_INVALID
 */
export async function startBroker(platform: Platform, start: BrokerStart, box: TimeBox): Promise<OpenedBroker> {
  // Before anything in it is believed, the note of a failure included.
  platform.files.ensurePrivateDirectory(platform.paths.dirname(start.endpoint));
  const note = createStartFailureNote(platform.files, start.endpoint);
  let starts = 0;
  let doing = `starting a broker at ${start.endpoint}`;
  for (let pollMs = POLL_MS.first; ; pollMs = Math.min(pollMs * 2, POLL_MS.most)) {
    const outcome = await box.run(doing, () => startUnlessStarted(platform, start, { note, box }), discard);
    if (typeof outcome === "object") return outcome;
    doing = `waiting for a broker at ${start.endpoint} that another client starts`;
    if (outcome === "already-running") {
      starts += 1;
      pollMs = RESTART_MS;
    }
    try {
      return { connection: await dialBroker(platform, start.endpoint, box), started: false };
    } catch (error) {
      if (!hasCode(error, "BROKER_UNAVAILABLE") || starts >= MAX_STARTS) throw error;
    }
    const failure = note.since();
    if (failure !== undefined) throw failure;
    await box.pause(doing, pollMs);
  }
}

/** @throws BrokerError BROKER_UNAVAILABLE when nobody listens, and what `dial` throws */
export function dialBroker(platform: Platform, endpoint: string, box: TimeBox): Promise<Connection> {
  return dial(platform, { path: endpoint, who: "broker", unavailable: "BROKER_UNAVAILABLE", box });
}

/** `elsewhere`: another client is starting one. */
type Outcome = OpenedBroker | "already-running" | "elsewhere";

/** Goes on to the end of the start when the caller has given up: the next one finds a broker. */
async function startUnlessStarted(
  platform: Platform,
  start: BrokerStart,
  { note, box }: { note: StartFailureNote; box: TimeBox },
): Promise<Outcome> {
  const lock = takePrivateLock(platform, `${start.endpoint}.start.lock`);
  if (lock === undefined) return "elsewhere";
  try {
    // Once more by the one client that acts: below /tmp it may have been removed by a broker and made by another user. Those
    // that wait believe only sockets and notes of their own user (dial.ts, Files.read).
    platform.files.checkPrivateDirectory(platform.paths.dirname(start.endpoint));
    const failure = note.since();
    if (failure !== undefined) throw failure;
    const early = await dialIfThere(platform, start.endpoint, box);
    if (early !== undefined) return { connection: early, started: false };
    lock.describe(`${platform.processes.selfPid}\n`);
    const outcome = await launchOrLeaveNote(platform, start, note);
    if (outcome === "already-running") return outcome;
    note.clear();
  } finally {
    lock.release();
  }
  return { connection: await dialBroker(platform, start.endpoint, box), started: true };
}

async function launchOrLeaveNote(
  platform: Platform,
  start: BrokerStart,
  note: StartFailureNote,
): Promise<"ready" | "already-running"> {
  for (let launches = 1; ; launches++) {
    try {
      return await launchBroker(platform, start);
    } catch (error) {
      if (!isBrokerError(error)) throw error;
      // One that somebody killed says nothing about the next.
      if (wasKilled(error) && launches < MAX_LAUNCHES) continue;
      note.leave(error);
      throw error;
    }
  }
}

/** By a signal that is not ours: we end only what has not exited in its time. */
function wasKilled({ details }: BrokerError): boolean {
  return details.exit?.startsWith("SIG") === true;
}

async function dialIfThere(platform: Platform, endpoint: string, box: TimeBox): Promise<Connection | undefined> {
  try {
    return await dialBroker(platform, endpoint, box);
  } catch (error) {
    if (hasCode(error, "BROKER_UNAVAILABLE")) return undefined;
    throw error;
  }
}

function discard(late: Outcome): void {
  if (typeof late === "object") late.connection.close();
}
