/**
 * The connections that are open right now, in three states: `reading` (the request is not complete), `working` (it is, and
 * the reply is owed) and `waiting` (the same, but what it waits for waits for others to be answered). A stopping broker
 * waits for the second and third kind and gives the first a moment.
 */
import type { Clock, Timer } from "../../base/clock.ts";
import type { Connection } from "../../platform/ports/index.ts";

export interface Connections {
  readonly count: number;
  add(connection: Connection): void;
  markWorking(connection: Connection): void;
  markWaiting(connection: Connection): void;
  remove(connection: Connection): void;
  /** Resolves when none is open, or at `totalMs`, when all are closed; those still reading are closed at `readingMs`. */
  drain(limits: { readingMs: number; totalMs: number }): Promise<void>;
  /** Resolves when none is open. */
  idle(): Promise<void>;
  /** Resolves when none is working. */
  quiet(): Promise<void>;
  /** Has one been working for longer than that? */
  hasLongWork(ms: number): boolean;
}

export function createConnections(clock: Clock): Connections {
  /** A number: working, since that monotonic time. */
  const states = new Map<Connection, "reading" | "waiting" | number>();
  let waits: { readonly until: () => boolean; readonly resolve: () => void }[] = [];
  const when = (until: () => boolean): Promise<void> =>
    until() ? Promise.resolve() : new Promise((resolve) => waits.push({ until, resolve }));
  const look = (): void => {
    if (waits.length === 0) return;
    const over = waits.filter(({ until }) => until());
    waits = waits.filter((wait) => !over.includes(wait));
    for (const { resolve } of over) resolve();
  };
  const idle = (): Promise<void> => when(() => states.size === 0);
  const hasWork = (begunBeforeMs: number): boolean => {
    for (const state of states.values()) if (typeof state === "number" && state < begunBeforeMs) return true;
    return false;
  };
  return {
    get count() {
      return states.size;
    },
    add(connection) {
      states.set(connection, "reading");
    },
    markWorking(connection) {
      states.set(connection, clock.monotonicMs());
    },
    markWaiting(connection) {
      states.set(connection, "waiting");
      look();
    },
    remove(connection) {
      states.delete(connection);
      look();
    },
    async drain({ readingMs, totalMs }) {
      const reading = clock.schedule(Math.min(readingMs, totalMs), () => {
        for (const [connection, state] of states) if (state === "reading") connection.close();
      });
      let total: Timer | undefined;
      // Peers that keep coming must not keep a stopping broker alive: the time is up for all at once.
      const timeUp = new Promise<void>((resolve) => {
        total = clock.schedule(totalMs, () => {
          for (const connection of states.keys()) connection.close();
          resolve();
        });
      });
      await Promise.race([idle(), timeUp]);
      reading.cancel();
      total?.cancel();
    },
    idle,
    quiet: () => when(() => !hasWork(Number.POSITIVE_INFINITY)),
    hasLongWork: (ms) => hasWork(clock.monotonicMs() - ms),
  };
}
