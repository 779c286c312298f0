/**
 * A backend that lost its control channel dials the broker and says so in its first frame (docs/protocol.md, "Attaching").
 * Authority: the kernel's word on the peer's process, which must be the backend that the broker launched or adopted. A
 * stranger's connection is closed without a reply.
 */
import { hasCode } from "../../base/errors.ts";
import type { Connection } from "../../platform/ports/index.ts";
import { decodeControlMessage, isControlFrame } from "../../wire/control.ts";
import type { ControlMessage, Frame } from "../../wire/messages.ts";

/** `kept`: the connection belongs to somebody else now. `refused`: it is to be closed. `other`: the frame is no attach. */
export type AttachOutcome = "kept" | "refused" | "other";

export interface AttachRouteOptions {
  /** @see Activation.attachControl */
  attachControl(pid: number, endpoint: string, connection: Connection): boolean;
  /** New channels are of no use to a broker that ends. */
  isClosed(): boolean;
}

export function takeAttach(options: AttachRouteOptions, frame: Frame, connection: Connection): AttachOutcome {
  const message = isControlFrame(frame) ? decoded(frame) : undefined;
  if (message?.case !== "attach") return "other";
  const { pid, endpoint } = message.value;
  // A pid of 0 is the kernel's way to say that it cannot name the peer.
  if (options.isClosed() || pid === 0 || pid !== connection.peer.pid) return "refused";
  return options.attachControl(connection.peer.pid, endpoint, connection) ? "kept" : "refused";
}

/** Whatever else comes as an event of protocol 0 is judged as the Hello that should have been there. */
function decoded(frame: Frame): ControlMessage["message"] | undefined {
  try {
    return decodeControlMessage(frame).message;
  } catch (error) {
    if (hasCode(error, "MESSAGE_MALFORMED", "FRAME_UNEXPECTED")) return undefined;
    throw error;
  }
}
