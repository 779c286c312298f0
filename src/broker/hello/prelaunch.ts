/** Backends that are launched while the Hello that wants them is still on its way. */
import type { Clock } from "../../base/clock.ts";
import { type BackendKey, keyText } from "../../model/backend-key.ts";
import type { Refusal } from "../../model/refusal.ts";
import type { Activation } from "../activation/activation.ts";
import type { LaunchRequest } from "../launch/launch-request.ts";

export interface LaunchAhead {
  /** Resolves once it runs, or with why it does not. */
  begin(request: LaunchRequest): Promise<Refusal | undefined>;
  /**
   * Undefined when nothing was begun for `key` or it has become known. Otherwise what became of it, told to one Hello:
   * why it failed, so that the Hello need not try again at once what has just been tried for it; undefined when it runs.
   */
  outcome(key: BackendKey): Promise<Refusal | undefined> | undefined;
}

/** Whoever comes later than this is somebody else, for whom a launch may go well. */
const REMEMBERED_MS = 10_000;

export function createLaunchAhead(clock: Clock, activation: Pick<Activation, "activate">): LaunchAhead {
  const begun = new Map<string, Promise<Refusal | undefined>>();
  return {
    begin(request) {
      const name = keyText(request.key);
      const outcome = Promise.resolve(activation.activate(request)).then((activated) => {
        if ("refusal" in activated) {
          clock.schedule(REMEMBERED_MS, () => begun.delete(name), { weak: true });
          return activated.refusal;
        }
        begun.delete(name);
        return undefined;
      });
      begun.set(name, outcome);
      return outcome;
    },
    outcome(key) {
      if (begun.size === 0) return undefined;
      const name = keyText(key);
      const outcome = begun.get(name);
      begun.delete(name);
      return outcome;
    },
  };
}
