/** Where the launches and adoptions of one key make themselves known, and what follows from that. */
import type { Clock, Timer } from "../../base/clock.ts";
import { type BackendKey, keyText } from "../../model/backend-key.ts";
import { STABLE_MS } from "../../model/recovery.ts";
import type { Crash } from "../events/reports.ts";
import type { LaunchedBackend, LaunchRegistry } from "../supervisor/backend.ts";
import type { Admission } from "./admission.ts";
import type { Roster } from "./roster.ts";

export interface RegistryOptions {
  readonly clock: Clock;
  readonly admission: Admission;
  readonly roster: Roster;
  /** A running backend ended by itself; `crashes` in this window, `delayMs` until the next launch may begin. */
  readonly onCrash?: ((backend: LaunchedBackend, crash: Crash, crashes: number, delayMs: number) => void) | undefined;
  readonly isStopping: () => boolean;
  /** Another broker has the backends, or is to have them. */
  readonly isGone: () => boolean;
}

export function createLaunchRegistry(key: BackendKey, options: RegistryOptions): LaunchRegistry {
  const id = keyText(key);
  const { clock, admission, roster } = options;
  let stable = false;
  let settling: { readonly published: LaunchedBackend; readonly timer: Timer } | undefined;
  const unsettle = (backend: LaunchedBackend): void => {
    if (settling?.published !== backend) return;
    settling.timer.cancel();
    settling = undefined;
  };
  return {
    started: (started) => {
      roster.own(started);
      // One that was taken over at this moment keeps running, as the others do.
      if (options.isStopping() && started.state === "spawning") started.stop();
      if (options.isGone() && started.state !== "spawning") started.letGo();
    },
    publish: (published) => {
      const old = roster.publish(id, published);
      if (old !== published) (old as LaunchedBackend | undefined)?.supersede();
      const settle = (): void => {
        settling = undefined;
        if (roster.current(id) !== published) return;
        stable = true;
        admission.forget(key);
      };
      settling?.timer.cancel();
      settling = { published, timer: clock.schedule(STABLE_MS, settle, { weak: true }) };
    },
    unpublish: (gone, why) => {
      // A timer left behind would hold on to all there is of it.
      unsettle(gone);
      roster.dropIfCurrent(id, gone);
      // It did nothing wrong, so what comes next is no repetition.
      if (why === "replaced" || why === "idle") admission.forget(key);
    },
    crashed: (backend, crash) => {
      if (stable && crash.exit === "status 0") return;
      const crashes = admission.crashed(key, crash);
      options.onCrash?.(backend, crash, crashes, admission.delayMs(key));
    },
  };
}
