/**
 * The life of one launched backend as a table: every cell is written, `step` is pure, effects are names that one runner
 * (broker/backend.ts) executes. A key that is launched again gets a new life; nothing leads back from an end state.
 *
 *     spawning --ready--> running --stop / not-serving--> draining --exited--> absent
 *         |                  \----------------exited-------------------------> absent
 *         \--launch-failed / exited / stop--> failed
 */
export type BackendState = "spawning" | "running" | "draining" | "failed" | "absent";

export type BackendEvent =
  /** It answered as the intended binary. */
  | "ready"
  /** It could not be started, or was not ready in time, or was not what it should be. */
  | "launch-failed"
  /** Its process ended. */
  | "exited"
  /** Its process lives, its endpoint accepts nobody. */
  | "not-serving"
  /** The operator or the broker's end wants it gone. */
  | "stop"
  /** It was asked to end and did not in time. */
  | "stop-timeout";

export type BackendEffect =
  /** Hand it out to the Hellos that wait and to later ones. */
  | "publish"
  /** Hand it out to nobody any more. */
  | "unpublish"
  /** SIGTERM to the process. */
  | "terminate"
  | "arm-stop-deadline"
  | "disarm-stop-deadline"
  /** SIGKILL to everything the launch left running. */
  | "kill-tree"
  /** Remove endpoint, lock and record; stop watching the log. */
  | "clean-up";

export interface Step {
  readonly to: BackendState;
  readonly effects: readonly BackendEffect[];
}

/** `bug`: cannot happen, and the runner throws. `ignore`: can happen and means nothing here. */
export type Cell = Step | "ignore" | "bug";

const END: readonly BackendEffect[] = ["kill-tree", "clean-up"];

export const BACKEND_TABLE: Readonly<Record<BackendState, Readonly<Record<BackendEvent, Cell>>>> = {
  spawning: {
    ready: { to: "running", effects: ["publish"] },
    "launch-failed": { to: "failed", effects: END },
    exited: { to: "failed", effects: END },
    "not-serving": "bug",
    stop: { to: "failed", effects: END },
    "stop-timeout": "bug",
  },
  running: {
    ready: "bug",
    "launch-failed": "bug",
    exited: { to: "absent", effects: ["unpublish", ...END] },
    "not-serving": { to: "draining", effects: ["unpublish", "terminate", "arm-stop-deadline"] },
    stop: { to: "draining", effects: ["unpublish", "terminate", "arm-stop-deadline"] },
    "stop-timeout": "bug",
  },
  draining: {
    ready: "bug",
    "launch-failed": "bug",
    exited: { to: "absent", effects: ["disarm-stop-deadline", ...END] },
    "not-serving": "ignore",
    stop: "ignore",
    "stop-timeout": { to: "draining", effects: ["kill-tree"] },
  },
  failed: {
    // The launch was stopped or its process ended while readiness was still being waited for.
    ready: "ignore",
    "launch-failed": "ignore",
    exited: "ignore",
    "not-serving": "ignore",
    stop: "ignore",
    "stop-timeout": "ignore",
  },
  absent: {
    ready: "bug",
    "launch-failed": "bug",
    exited: "ignore",
    "not-serving": "ignore",
    stop: "ignore",
    "stop-timeout": "ignore",
  },
};

/** Undefined: stay as it is. @throws Error for a cell that cannot happen */
export function stepBackend(state: BackendState, event: BackendEvent): Step | undefined {
  const cell = BACKEND_TABLE[state][event];
  if (cell === "bug") throw new Error(`backend cannot get "${event}" while ${state}`);
  return cell === "ignore" ? undefined : cell;
}
