/** The way of the reference: the broker dials the backend's handoff endpoint, once for each connection (spec: handoff §8). */
import { hasCode, reasonOf } from "../../base/errors.ts";
import { readFrameBody } from "../../exchange/frame-io.ts";
import { unixTransportError } from "../../model/handoff-stages.ts";
import type { Connection, Platform } from "../../platform/ports/index.ts";
import { decodeFrame } from "../../wire/envelope.ts";
import { checkAck, type Offer } from "../../wire/handoff.ts";
import { MAX_HELLO_BODY_BYTES } from "../../wire/limits.ts";
import { type HandoffExchange, type HandoffWay, offerBytes, sendOver } from "./handoff-transport.ts";

export function createDialledWay(
  platform: Pick<Platform, "clock" | "transport" | "user">,
  endpoint: string,
): HandoffWay {
  return { direct: false, open: (offer) => dialledExchange(platform, endpoint, offer) };
}

function dialledExchange(
  platform: Pick<Platform, "clock" | "transport" | "user">,
  endpoint: string,
  offer: Offer,
): HandoffExchange {
  let connection: Connection | undefined;
  const bytes = offerBytes(offer);
  return {
    async send(client, deadline) {
      try {
        connection = await platform.transport.connect(endpoint, deadline);
      } catch (error) {
        const errno = hasCode(error, "IO_FAILED") ? (error.details.errno ?? "") : "";
        return {
          ok: false,
          error: unixTransportError("connect", errno),
          detail: `failed to dial backend handoff endpoint ${endpoint}: ${reasonOf(error)}`,
        };
      }
      // The process that gets the connection gets the client: it must be our own user's.
      if (!platform.user.owns(connection.peer))
        return {
          ok: false,
          error: "permission-denied",
          detail: `${endpoint} is served by ${platform.user.ownerText(connection.peer)}`,
        };
      return sendOver(connection, bytes, client, deadline);
    },
    async awaitAck(deadline) {
      if (connection === undefined) return { ok: false, detail: "no offer was sent" };
      try {
        const frame = decodeFrame(await readFrameBody(connection, { maxBodyBytes: MAX_HELLO_BODY_BYTES, deadline }));
        return checkAck(frame, offer);
      } catch (error) {
        return { ok: false, detail: reasonOf(error) };
      }
    },
    close: () => connection?.close(),
  };
}
