/** Waiting for the broker to say that the backend has this connection (v1; spec: client §4). */
import { isBrokerError } from "../base/errors.ts";
import { readFrameBody } from "../exchange/frame-io.ts";
import type { Connection } from "../platform/ports/index.ts";
import { decodeFrame } from "../wire/envelope.ts";
import { readReadyEvent } from "../wire/handoff.ts";
import { MAX_FRAME_BODY_BYTES } from "../wire/limits.ts";
import type { TimeBox } from "./time-box.ts";

/** Bound on the wait; a broker that hands nothing over closes the connection at once. Frozen. */
export const HANDOFF_READY_MS = 2_000;

/**
 * True when it is the backend's: exactly the event was read, and nothing behind it. Whatever else comes, or nothing,
 * means that the backend is to be dialled; that is never an error.
 */
export async function awaitReady(connection: Connection, token: Uint8Array, box: TimeBox): Promise<boolean> {
  try {
    const body = await box.run("waiting for the connection to be handed to the backend", () =>
      readFrameBody(connection, {
        maxBodyBytes: MAX_FRAME_BODY_BYTES,
        deadline: box.deadline.within(HANDOFF_READY_MS),
      }),
    );
    return readReadyEvent(decodeFrame(body), token) === "ready";
  } catch (error) {
    if (!isBrokerError(error) || box.signal?.aborted || box.deadline.passed()) throw error;
    return false;
  }
}
