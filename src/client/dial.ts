/** Connecting to a local socket that must belong to the current user. */
import { BrokerError, hasCode, isBrokerError } from "../base/errors.ts";
import { vacancyOf } from "../base/peer-errno.ts";
import type { Connection, Platform } from "../platform/ports/index.ts";
import type { TimeBox } from "./time-box.ts";

export type DialPorts = Pick<Platform, "transport" | "user">;

/** A connect on a full backlog is tried in steps of this length, so that an abort does not leave one behind for long. */
const STEP_MS = 100;

/**
 * `who` is the other end in messages: "broker" or "backend".
 *
 * @throws BrokerError `unavailable` when nobody serves there, PEER_UNVERIFIED, PATH_TOO_LONG, ENDPOINT_INVALID,
 * DEADLINE_EXCEEDED, ABORTED, IO_FAILED
 */
export async function dial(
  platform: DialPorts,
  options: { path: string; who: string; unavailable: "BROKER_UNAVAILABLE" | "BACKEND_UNREACHABLE"; box: TimeBox },
): Promise<Connection> {
  const { path, who, box } = options;
  try {
    const connection = await box.run(
      `connecting to the ${who} at ${path}`,
      () => connectInSteps(platform, path, box),
      (late) => late.close(),
    );
    return checkPeer(platform, connection, options);
  } catch (error) {
    const vacancy = vacancyOf(error);
    if (vacancy === undefined || !isBrokerError(error)) throw error;
    const why = vacancy === "no-file" ? "nothing is at" : "no process listens on";
    throw new BrokerError(options.unavailable, `no ${who} is running: ${why} ${path}`, {
      details: { ...error.details, path },
      cause: error,
    });
  }
}

async function connectInSteps(platform: DialPorts, path: string, box: TimeBox): Promise<Connection> {
  for (;;) {
    try {
      return await platform.transport.connect(path, box.deadline.within(STEP_MS));
    } catch (error) {
      if (!hasCode(error, "DEADLINE_EXCEEDED") || box.deadline.passed() || box.signal?.aborted) throw error;
    }
  }
}

/** Before anything is sent: whoever else listens there learns nothing. Consumes the connection when it throws. */
function checkPeer(
  platform: DialPorts,
  connection: Connection,
  { path, who }: { path: string; who: string },
): Connection {
  try {
    const { peer } = connection;
    const { user } = platform;
    if (user.owns(peer)) return connection;
    throw new BrokerError(
      "PEER_UNVERIFIED",
      `the ${who} listening on ${path} belongs to ${user.ownerText(peer)}, not to ${user.identity}`,
      {
        details: { path, pid: peer.pid },
      },
    );
  } catch (error) {
    connection.close();
    throw error;
  }
}
