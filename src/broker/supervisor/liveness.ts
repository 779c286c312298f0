/** Can a client use a backend right now? Asked at every Hello, so it connects to nothing and costs next to nothing. */
import type { Platform, ProcessHandle } from "../../platform/ports/index.ts";
import type { EndpointSocket } from "./socket-watch.ts";

/**
 * `ended`: its process is gone. `moved`: the file at its endpoint is gone or another one. `closed`: the file is there, and no
 * socket listens behind it, as when a process closes its listener and lives on.
 */
export type Liveness = "serving" | "ended" | "moved" | "closed";

export interface LivenessOptions {
  readonly platform: Pick<Platform, "clock" | "transport">;
  readonly process: Pick<ProcessHandle, "isAlive">;
  readonly path: string;
  /** Just before the kernel is asked about the socket. */
  readonly onCheck?: () => void;
}

/** Least time between two questions to the kernel whether a socket is still bound; what a client can meet is older at most by this. */
const BOUND_CHECK_INTERVAL_MS = 100;

/** `socket`: the file that was there when the backend was proved. */
export function createLiveness(options: LivenessOptions): (socket: EndpointSocket | undefined) => Liveness {
  const { platform, process, path, onCheck } = options;
  let checkedMs = Number.NEGATIVE_INFINITY;
  return (socket) => {
    if (!process.isAlive()) return "ended";
    if (!socket?.isSame()) return "moved";
    const nowMs = platform.clock.monotonicMs();
    if (nowMs - checkedMs < BOUND_CHECK_INTERVAL_MS) return "serving";
    onCheck?.();
    if (!platform.transport.isBound(path)) return "closed";
    checkedMs = nowMs;
    return "serving";
  };
}
