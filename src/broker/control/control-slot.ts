/**
 * The control channel of one backend, whichever it is at the moment: the one that was inherited, or one that the backend
 * dialled after that had ended. Whoever uses the slot need not know of the change.
 */
import { Deadline } from "../../base/clock.ts";
import type { Connection, Platform } from "../../platform/ports/index.ts";
import type { HandoffWay } from "../handoff/handoff-transport.ts";
import {
  type ChannelMemory,
  type ControlChannel,
  createControlChannel,
  type SuspendedChannel,
} from "./control-channel.ts";
import type { BackendControl, LeaseReport } from "./control-requests.ts";

export interface ControlSlot extends Omit<BackendControl, "onLeaseChange"> {
  /** @see BackendControl.onLeaseChange; any number of callbacks, each until what is returned is called. */
  onLeaseChange(callback: (report: LeaseReport | undefined) => void): () => void;
  /** Calls back each time the channel in use has ended by itself: the backend is dying or about to end, or broke the protocol. */
  onEnd(callback: () => void): void;
  /** @see ControlChannel.way */
  way(): HandoffWay | undefined;
  /**
   * From now on this is the backend's control channel; one that there was is let go. Consumes the connection, whose other
   * end must have been proved to be the backend's process.
   */
  attach(connection: Connection): void;
  /** @see ControlChannel.suspend; undefined also when there is no channel. */
  suspend(): Promise<SuspendedChannel | undefined>;
  resume(): void;
  /** @see ControlChannel.letGo */
  letGo(): void;
  /** @see ControlChannel.close */
  close(): void;
}

/** A channel that is there from the beginning. */
export interface InitialChannel {
  readonly connection: Connection;
  /** What the backend has said to the broker that had it before. */
  readonly memory?: ChannelMemory;
}

/** For the message that says so. */
const CONFIRM_MS = 1_000;

/** `initial`: our end of the pair whose other end the backend was given, now or by an earlier broker. Consumes it. */
export function createControlSlot(platform: Pick<Platform, "clock">, initial?: InitialChannel): ControlSlot {
  let channel: ControlChannel | undefined;
  const listeners = new Set<(report: LeaseReport | undefined) => void>();
  let ended: () => void = () => {};
  const put = (next: ControlChannel): void => {
    const previous = channel;
    channel = next;
    // The last word of a channel that has been replaced concerns nobody.
    next.control.onLeaseChange((report) => {
      if (channel === next) for (const listener of listeners) listener(report);
    });
    next.onEnd(() => {
      if (channel === next) ended();
    });
    previous?.close();
  };
  if (initial !== undefined) put(createControlChannel(platform, initial.connection, initial.memory));
  return {
    way: () => channel?.way(),
    leases: () => channel?.control.leases(),
    onLeaseChange(callback) {
      listeners.add(callback);
      return () => void listeners.delete(callback);
    },
    onEnd(callback) {
      ended = callback;
    },
    quiesce: async (deadline, cause) => channel?.control.quiesce(deadline, cause) ?? "unsupported",
    releaseHandles: async (path, deadline) =>
      channel?.control.releaseHandles(path, deadline) ?? {
        result: "unsupported",
        detail: "the backend has no control channel",
      },
    attach(connection) {
      const next = createControlChannel(platform, connection);
      put(next);
      next.control.confirmAttached(Deadline.after(platform.clock, CONFIRM_MS));
    },
    suspend: async () => channel?.suspend(),
    resume: () => channel?.resume(),
    letGo: () => channel?.letGo(),
    close: () => channel?.close(),
  };
}
