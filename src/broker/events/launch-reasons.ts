/** Why each launch began and what became of the one before, in words for events. */
import type { Clock } from "../../base/clock.ts";
import { type BackendKey, keyText } from "../../model/backend-key.ts";
import type { BackendEvent, BackendState } from "../../model/backend-state.ts";
import { type ExitStatus, howItEnded } from "../../model/exit-status.ts";
import type { Asker } from "./reports.ts";

export interface Transition {
  readonly key: BackendKey;
  readonly pid: number;
  readonly event: BackendEvent;
  readonly from: BackendState;
  readonly to: BackendState;
  readonly exit: ExitStatus | undefined;
}

export interface LaunchHistory {
  /** Notes the beginning of a launch and returns why it is necessary. */
  launching(key: BackendKey, askedBy: Asker): string;
  launchFailed(key: BackendKey, why: string): void;
  /** Notes a change of state and returns what there is to say of it, and for one that ends on whose account. */
  changed(transition: Transition): { readonly reason: string; readonly cause: EndCause };
}

/** `own`: nobody asked it to. */
export type EndCause = "own" | "asked" | "idle" | "replaced";

interface Past {
  /** What became of the last one; undefined: there was none. */
  last: string | undefined;
  launchedMs: number;
  /** Why the one that is ending was asked to. */
  ending: string;
  cause: EndCause;
}

/** Keys remembered; more would be a client that makes up versions. */
const MAX_KEYS = 1024;
const NEVER = "no backend of this version has run under this broker";

export function createLaunchHistory(clock: Clock): LaunchHistory {
  const pasts = new Map<string, Past>();
  const pastOf = (key: BackendKey): Past => {
    const name = keyText(key);
    let past = pasts.get(name);
    if (past === undefined) {
      if (pasts.size >= MAX_KEYS) pasts.clear();
      past = { last: undefined, launchedMs: clock.monotonicMs(), ending: "", cause: "own" };
      pasts.set(name, past);
    }
    return past;
  };

  return {
    launching(key, askedBy) {
      const past = pastOf(key);
      past.launchedMs = clock.monotonicMs();
      return `${describeAsker(askedBy)}: ${past.last ?? NEVER}`;
    },
    launchFailed(key, why) {
      pastOf(key).last = `the last launch failed: ${why}`;
    },
    changed(transition) {
      const past = pastOf(transition.key);
      const told = describe(transition, past, clock);
      if (transition.from !== "spawning") past.last = `the last one (pid ${transition.pid}) ${told}`;
      return { reason: told, cause: past.cause };
    },
  };
}

function describeAsker(askedBy: Asker): string {
  if (askedBy === "start") return "as the broker starts, as it was told";
  return askedBy === 0 ? "for a Hello" : `for a Hello of pid ${askedBy}`;
}

const CAUSES: Readonly<Partial<Record<BackendEvent, EndCause>>> = {
  launched: "own",
  adopted: "own",
  "quiesce-refused": "own",
  "adopted-to-drain": "replaced",
  idle: "idle",
  replaced: "replaced",
  withdrawn: "own",
  stop: "asked",
  "not-serving": "asked",
};

function describe({ event, from, exit }: Transition, past: Past, clock: Clock): string {
  past.cause = CAUSES[event] ?? past.cause;
  switch (event) {
    case "launched":
      return "its process was started";
    case "adopted":
      return "of an earlier broker, proved and taken over";
    case "adopted-to-drain":
      past.ending = "an earlier broker had retired it";
      return "of an earlier broker, taken over to end when nobody uses it any more";
    case "idle":
      past.ending = "nobody used it any more";
      return "is let go because nobody has used it for its idle time-out";
    case "replaced":
      past.ending = "a newer one took its place";
      return "takes no new client because its binary or definition changed";
    case "withdrawn":
      past.ending = "it took its endpoint away";
      return "took its endpoint away and is about to end by itself";
    case "quiesce-refused":
      return "is in use again and goes on";
    case "drained":
      return "is asked to end because nobody uses it any more";
    case "ready":
      return `ready ${Math.round(clock.monotonicMs() - past.launchedMs)} ms after its launch began`;
    case "launch-failed":
      return "its launch failed";
    case "stop":
      past.ending = "it was asked to";
      return "was asked to end";
    case "not-serving":
      past.ending = "its endpoint accepted nobody";
      return "was asked to end because its endpoint accepts nobody any more";
    case "stop-timeout":
      past.ending += " and did not in time";
      return "did not end in time and was killed";
    case "exited": {
      const how = exit === undefined ? "in an unknown way" : howItEnded(exit);
      if (from === "draining") return `ended ${how} after ${past.ending}`;
      return exit?.code === 0 ? `ended by itself ${how}` : `crashed ${how}`;
    }
  }
}
