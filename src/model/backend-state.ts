/**
 * The life of one backend as a table: every cell is written, `stepBackend` is pure, effects are names that one runner
 * (broker/supervisor/supervisor.ts) executes. docs/lifecycle.md is made from this file. A key that is launched again gets a new life;
 * nothing leads back from an end. Adoption is no state: an adopted backend is one whose life began with `adopted`.
 *
 *     absent --launched--> spawning --ready--> running --stop / not-serving / withdrawn / idle / replaced--> draining
 *     absent --adopted--> running                 \--exited--> absent                draining --exited--> absent
 *     spawning --launch-failed / exited / stop--> failed       draining --quiesce-refused, still wanted--> running
 *
 * The wish (shall it go on taking new clients?) is kept apart from the state: going idle leaves it up, so that a backend
 * that refuses to end because a client has just come runs again; whatever replaces or ends it takes the wish down.
 */
export type BackendState = "spawning" | "running" | "draining" | "failed" | "absent";

export type BackendEvent =
  /** Its process was started. */
  | "launched"
  /** An earlier broker's backend was found to be what its record says. */
  | "adopted"
  /** The same, but it is to take no new client: replaced, or not serving. */
  | "adopted-to-drain"
  /** It answered as the intended binary. */
  | "ready"
  /** It could not be started, or was not ready in time, or was not what it should be. */
  | "launch-failed"
  /** Its process ended. */
  | "exited"
  /** Its process lives, its endpoint accepts nobody. */
  | "not-serving"
  /** It took its endpoint away and is about to end by itself. */
  | "withdrawn"
  /** Nobody has used it for its idle time-out. */
  | "idle"
  /** Its binary or definition changed, or a newer one serves its key. */
  | "replaced"
  /** It does not want to end now: it has new work. */
  | "quiesce-refused"
  /** Nobody uses it any more, and nobody can come. */
  | "drained"
  /** The operator or the broker's end wants it gone. */
  | "stop"
  /** It was asked to end and did not in time. */
  | "stop-timeout";

export type BackendEffect =
  /** Hand it out to the Hellos that wait and to later ones; record that it may be adopted. */
  | "publish"
  /** Hand it out to nobody any more. */
  | "unpublish"
  /** Look for idleness and for a replaced binary. */
  | "watch"
  /** Look no more. */
  | "unwatch"
  /** Let it end by itself once its work is done: over its control channel, else by closing its endpoint to newcomers and counting. No deadline. */
  | "quiesce"
  /** The same again after a while. */
  | "quiesce-later"
  /** SIGTERM to the process, once in its life. */
  | "terminate"
  /** Wait for its end no longer than its definition says; once in its life. */
  | "arm-stop-deadline"
  /** It ended. */
  | "disarm-stop-deadline"
  /** SIGKILL to everything the launch left running. */
  | "kill-tree"
  /** Remove endpoint, lock and records; stop watching the log. */
  | "clean-up";

export interface Step {
  readonly to: BackendState;
  readonly effects: readonly BackendEffect[];
}

/** `bug`: cannot happen, and the runner throws. `ignore`: can happen and means nothing here. */
export type PlainCell = Step | "ignore" | "bug";
/** Some cells depend on the wish. */
export type Cell = PlainCell | { readonly wanted: PlainCell; readonly unwanted: PlainCell };

export const WISH: Readonly<Record<BackendEvent, "up" | "down" | "same">> = {
  launched: "up",
  adopted: "up",
  "adopted-to-drain": "down",
  ready: "same",
  "launch-failed": "down",
  exited: "down",
  "not-serving": "down",
  withdrawn: "down",
  idle: "same",
  replaced: "down",
  "quiesce-refused": "same",
  drained: "same",
  stop: "down",
  "stop-timeout": "same",
};

const END: readonly BackendEffect[] = ["kill-tree", "clean-up"];
const LEAVE: readonly BackendEffect[] = ["unpublish", "unwatch"];
const STOP: readonly BackendEffect[] = ["terminate", "arm-stop-deadline"];
const QUIESCE: Step = { to: "draining", effects: [...LEAVE, "quiesce"] };

export const BACKEND_TABLE: Readonly<Record<BackendState, Readonly<Record<BackendEvent, Cell>>>> = {
  absent: {
    launched: { to: "spawning", effects: [] },
    adopted: { to: "running", effects: ["publish", "watch"] },
    "adopted-to-drain": { to: "draining", effects: ["quiesce"] },
    ready: "bug",
    "launch-failed": "bug",
    exited: "ignore",
    "not-serving": "ignore",
    withdrawn: "ignore",
    idle: "ignore",
    replaced: "ignore",
    "quiesce-refused": "ignore",
    drained: "ignore",
    stop: "ignore",
    "stop-timeout": "ignore",
  },
  spawning: {
    launched: "bug",
    adopted: "bug",
    "adopted-to-drain": "bug",
    ready: { to: "running", effects: ["publish", "watch"] },
    "launch-failed": { to: "failed", effects: END },
    exited: { to: "failed", effects: END },
    "not-serving": "bug",
    // Readiness finds out by itself.
    withdrawn: "ignore",
    idle: "bug",
    replaced: "ignore",
    "quiesce-refused": "bug",
    drained: "bug",
    stop: { to: "failed", effects: END },
    "stop-timeout": "bug",
  },
  running: {
    launched: "bug",
    adopted: "bug",
    "adopted-to-drain": "bug",
    ready: "bug",
    "launch-failed": "bug",
    exited: { to: "absent", effects: [...LEAVE, "disarm-stop-deadline", ...END] },
    "not-serving": { to: "draining", effects: [...LEAVE, ...STOP] },
    withdrawn: { to: "draining", effects: LEAVE },
    idle: QUIESCE,
    replaced: QUIESCE,
    // An answer to a question that is not asked any more.
    "quiesce-refused": "ignore",
    drained: "ignore",
    stop: { to: "draining", effects: [...LEAVE, ...STOP] },
    "stop-timeout": "bug",
  },
  draining: {
    launched: "bug",
    adopted: "bug",
    "adopted-to-drain": "bug",
    ready: "bug",
    "launch-failed": "bug",
    exited: { to: "absent", effects: ["disarm-stop-deadline", ...END] },
    "not-serving": "ignore",
    withdrawn: "ignore",
    idle: "ignore",
    // Only the wish changes: whoever came meanwhile has the next one.
    replaced: "ignore",
    "quiesce-refused": {
      wanted: { to: "running", effects: ["publish", "watch"] },
      unwanted: { to: "draining", effects: ["quiesce-later"] },
    },
    drained: { to: "draining", effects: ["terminate"] },
    stop: { to: "draining", effects: STOP },
    "stop-timeout": { to: "draining", effects: ["kill-tree"] },
  },
  failed: {
    launched: "bug",
    adopted: "bug",
    "adopted-to-drain": "bug",
    // The launch was stopped or its process ended while readiness was still being waited for.
    ready: "ignore",
    "launch-failed": "ignore",
    exited: "ignore",
    "not-serving": "ignore",
    withdrawn: "ignore",
    idle: "ignore",
    replaced: "ignore",
    "quiesce-refused": "ignore",
    drained: "ignore",
    stop: "ignore",
    "stop-timeout": "ignore",
  },
};

/** What a backend's life is at one moment. */
export interface BackendLife {
  readonly state: BackendState;
  readonly wanted: boolean;
}

/** Before anything happened. */
export const UNBORN: BackendLife = { state: "absent", wanted: false };

/** `effects` is undefined when the event means nothing in this state; the wish counts all the same. */
export interface BackendStep extends BackendLife {
  readonly effects: readonly BackendEffect[] | undefined;
}

/** @throws Error for a cell that cannot happen */
export function stepBackend(life: BackendLife, event: BackendEvent): BackendStep {
  const wish = WISH[event];
  const wanted = wish === "same" ? life.wanted : wish === "up";
  const written = BACKEND_TABLE[life.state][event];
  const cell = typeof written === "object" && "wanted" in written ? written[wanted ? "wanted" : "unwanted"] : written;
  if (cell === "bug") throw new Error(`backend cannot get "${event}" while ${life.state}`);
  return cell === "ignore"
    ? { state: life.state, wanted, effects: undefined }
    : { state: cell.to, wanted, effects: cell.effects };
}
