/**
 * RELEASE_HANDLES: every backend of this broker is asked at once to let go of a path, and each has the same time (spec:
 * launch §8.3). Those that drain are asked too: they hold what they hold until they are gone.
 */
import { type Clock, Deadline } from "../../base/clock.ts";
import { BrokerError } from "../../base/errors.ts";
import type { BackendKey } from "../../model/backend-key.ts";
import type { Activation } from "../activation/activation.ts";
import type { ReleaseOutcome } from "../control/control-requests.ts";

export interface ReleaseRow extends ReleaseOutcome {
  readonly key: BackendKey;
  readonly pid: number;
}

export interface ReleaseReport {
  readonly path: string;
  /** In the order of their launches. */
  readonly backends: readonly ReleaseRow[];
}

/** For each backend. Frozen default. */
const ACK_TIMEOUT_MS = 5_000;
const MAX_TIMEOUT_MS = 600_000;
/** PATH_MAX. */
const MAX_PATH_BYTES = 4096;

/**
 * Resolves when all have answered or their time is up.
 *
 * @throws BrokerError OPTION_INVALID (a path that is not absolute and normalised)
 */
export async function releaseHandles(
  clock: Clock,
  activation: Pick<Activation, "backends" | "launched">,
  request: { readonly path: string; readonly timeoutMs: number | undefined },
): Promise<ReleaseReport> {
  const path = checkedPath(request.path);
  const deadline = Deadline.after(clock, Math.min(request.timeoutMs ?? ACK_TIMEOUT_MS, MAX_TIMEOUT_MS));
  const launched = activation.launched();
  const asked = launched.map((backend) => ({ backend, outcome: backend.control.releaseHandles(path, deadline) }));
  const rows = asked.map(async ({ backend, outcome }) => ({ key: backend.key, pid: backend.pid, ...(await outcome) }));
  // A backend that somebody else started may hold the path just as well, and cannot be asked.
  const others = activation.backends().filter((backend) => !launched.some((known) => known === backend));
  return {
    path,
    backends: [
      ...(await Promise.all(rows)),
      ...others.map(({ key, identity }) => ({
        key,
        pid: identity.pid,
        result: "unsupported" as const,
        detail: "the backend was not launched by this broker",
      })),
    ],
  };
}

function checkedPath(path: string): string {
  const normal =
    path.startsWith("/") &&
    !path.includes("\0") &&
    (path === "/" || !path.endsWith("/")) &&
    !path.split("/").some((part, at) => part === "." || part === ".." || (part === "" && at > 0 && path !== "/"));
  if (normal && Buffer.byteLength(path) <= MAX_PATH_BYTES) return path;
  throw new BrokerError(
    "OPTION_INVALID",
    `path must be absolute and normalised, and have at most ${MAX_PATH_BYTES} bytes`,
  );
}

const EXITS: Readonly<Record<ReleaseOutcome["result"], number>> = {
  released: 0,
  "nothing-held": 0,
  unsupported: 69,
  "timed-out": 124,
  failed: 1,
};
/** What is worst decides. */
const BY_GRAVITY: readonly ReleaseOutcome["result"][] = ["failed", "timed-out", "unsupported"];

/** 0: nobody holds the path any more, as far as backends know. 1: one failed. 124: one did not answer. 69: one has no means. */
export function exitOfRelease({ backends }: ReleaseReport): number {
  const worst = BY_GRAVITY.find((result) => backends.some((row) => row.result === result));
  return worst === undefined ? 0 : EXITS[worst];
}

export function renderReleaseJson({ path, backends }: ReleaseReport): object {
  return {
    schema_version: 1,
    command: "release-handles",
    path,
    backends: backends.map(({ key, pid, result, detail }) => ({
      service_name: key.service,
      service_version: key.version,
      pid,
      result,
      ...(detail !== "" && { detail }),
    })),
  };
}

export function renderReleaseText({ backends }: ReleaseReport): string {
  return backends
    .map(
      ({ key, pid, result, detail }) => `${key.service} ${key.version} ${pid}: ${result}${detail && `, ${detail}`}\n`,
    )
    .join("");
}
