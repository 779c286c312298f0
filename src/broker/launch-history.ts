/** Why each launch began and what became of the one before, in words for events. */
import type { Clock } from "../base/clock.ts";
import type { BackendEvent, BackendState } from "../model/backend-state.ts";
import type { ExitStatus } from "../platform/ports.ts";
import type { BackendKey } from "./launcher.ts";

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
  launching(key: BackendKey, askedBy: number): string;
  launchFailed(key: BackendKey, why: string): void;
  /** Notes a change of state and returns what there is to say of it. */
  changed(transition: Transition): string;
}

interface Past {
  /** What became of the last one; undefined: there was none. */
  last: string | undefined;
  launchedMs: number;
  /** Why the one that is ending was asked to. */
  ending: string;
}

/** Keys remembered; more would be a client that makes up versions. */
const MAX_KEYS = 1024;
const NEVER = "no backend of this version has run under this broker";

export function createLaunchHistory(clock: Clock): LaunchHistory {
  const pasts = new Map<string, Past>();
  const pastOf = ({ instanceId, service, version }: BackendKey): Past => {
    const name = `${instanceId} ${service} ${version}`;
    let past = pasts.get(name);
    if (past === undefined) {
      if (pasts.size >= MAX_KEYS) pasts.clear();
      past = { last: undefined, launchedMs: clock.monotonicMs(), ending: "" };
      pasts.set(name, past);
    }
    return past;
  };

  return {
    launching(key, askedBy) {
      const past = pastOf(key);
      past.launchedMs = clock.monotonicMs();
      const asker = askedBy === 0 ? "for a Hello" : `for a Hello of pid ${askedBy}`;
      return `${asker}: ${past.last ?? NEVER}`;
    },
    launchFailed(key, why) {
      pastOf(key).last = `the last launch failed: ${why}`;
    },
    changed(transition) {
      const past = pastOf(transition.key);
      const told = describe(transition, past, clock);
      if (transition.from !== "spawning") past.last = `the last one (pid ${transition.pid}) ${told}`;
      return told;
    },
  };
}

function describe({ event, from, exit }: Transition, past: Past, clock: Clock): string {
  switch (event) {
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
    case "exited":
      if (from === "draining") return `ended ${howItEnded(exit)} after ${past.ending}`;
      return exit?.code === 0 ? "ended by itself with status 0" : `crashed ${howItEnded(exit)}`;
  }
}

function howItEnded(exit: ExitStatus | undefined): string {
  if (exit === undefined) return "in an unknown way";
  return exit.signal === null ? `with status ${exit.code}` : `by signal ${exit.signal}`;
}
