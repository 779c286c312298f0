/**
 * Does a launched daemon listen at the address that it was told (`exec.ready = connect`)? It knows nothing of brokers, so it is
 * not connected to: its first connection is a client's. Nothing was at the random path when the launch began; the socket that
 * appears there must be ours, listen, and be open in the process that was started or in one that it started.
 */
import { type Clock, sleep } from "../../base/clock.ts";
import { BrokerError } from "../../base/errors.ts";
import type { BackendIdentity } from "../../model/identity.ts";
import { launchMarker } from "../../model/launch-environment.ts";
import type { Platform } from "../../platform/ports/index.ts";

/**
 * How long a bound socket may be missing from the table of sockets before the file alone counts: it is not there for the
 * moment between its file and its row, and never when it was bound in another network namespace, or by a relative path in a
 * process that is not the one that was started. Whether such a socket listens cannot be asked: its first client may be refused.
 */
const UNLISTED_MS = 250;

export interface OwnListener {
  /** @throws BrokerError BACKEND_UNREACHABLE (not yet), IDENTITY_MISMATCH (`details.check` is `listener`) */
  check(): void;
}

export function createOwnListener(
  platform: { readonly clock: Clock } & Pick<Platform, "endpoints" | "processes" | "transport" | "user">,
  expected: BackendIdentity,
): OwnListener {
  const { clock, endpoints, processes, transport, user } = platform;
  const { path } = expected.endpoint;
  let unlistedSinceMs: number | undefined;

  const isUnlistedForLong = (): boolean => {
    unlistedSinceMs ??= clock.monotonicMs();
    return clock.monotonicMs() - unlistedSinceMs >= UNLISTED_MS;
  };

  return {
    check() {
      const facts = endpoints.find(path);
      if (facts?.kind !== "socket" || !transport.isBound(path)) throw notYet(`it has not bound ${path}`);
      if (!user.owns(facts)) throw mismatch(`its socket belongs to ${user.ownerText(facts)}`, user.identity);
      const listeners = processes.listenersAt(path, expected.pid);
      if (listeners === undefined) {
        if (isUnlistedForLong()) return;
        throw notYet(`no socket is listed for ${path}`);
      }
      if (listeners.length === 0) throw notYet(`it does not listen at ${path}`);
      checkHolders(processes, expected, listeners);
    },
  };
}

/** A worker of the daemon's may listen, in a session of its own even. One that does not show its descriptors is believed. */
function checkHolders(processes: Platform["processes"], expected: BackendIdentity, listeners: readonly string[]): void {
  if (processes.holdersOf(listeners, [expected.pid]).length > 0) return;
  const holders = processes.holdersOf(listeners);
  const [first] = holders;
  if (first === undefined || holders.some((pid) => processes.inspect(pid)?.sessionId === expected.pid)) return;
  const marker = launchMarker(expected.endpoint);
  const started = processes.findDescendants({ sessionId: expected.pid, marker });
  const ours = started.some(({ pid }) => holders.includes(pid));
  for (const handle of started) handle.close();
  if (!ours) throw mismatch(`its endpoint is served by process ${first}`, expected.pid);
}

function mismatch(what: string, expected: number | string): BrokerError {
  return new BrokerError("IDENTITY_MISMATCH", `backend identity mismatch: ${what}, expected ${expected}`, {
    details: { check: "listener" },
  });
}

function notYet(what: string): BrokerError {
  return new BrokerError("BACKEND_UNREACHABLE", what);
}

/** Pauses that end early when something happens in a directory. Close it. */
export interface HintedPause {
  /** @throws BrokerError ABORTED, or the signal's own error */
  sleep(clock: Clock, ms: number, signal: AbortSignal): Promise<void>;
  close(): void;
}

/** bind(2) makes a file, so a daemon that binds is seen at once. listen(2) makes none, so the pause has an end of its own. */
export function createHintedPause(files: Pick<Platform["files"], "paths" | "watch">, path: string): HintedPause {
  let wake = (): void => {};
  const watcher = files.watch(files.paths.dirname(path), () => wake());
  return {
    async sleep(clock, ms, signal) {
      const early = new AbortController();
      wake = () => early.abort();
      try {
        await sleep(clock, ms, AbortSignal.any([signal, early.signal]));
      } catch (error) {
        if (signal.aborted || !early.signal.aborted) throw error;
      } finally {
        wake = () => {};
      }
    },
    close: () => watcher?.close(),
  };
}
