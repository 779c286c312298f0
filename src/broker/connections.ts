/**
 * The connections that are open right now, in two states: `reading` (the request is not complete) and `working` (it is,
 * and the reply is owed). A stopping broker waits for the second kind and gives the first a moment.
 */
import type { Clock, Timer } from "../base/clock.ts";
import type { Connection } from "../platform/ports.ts";

export interface Connections {
  readonly count: number;
  add(connection: Connection): void;
  markWorking(connection: Connection): void;
  remove(connection: Connection): void;
  /** Resolves when none is open, or at `totalMs`, when all are closed; those still reading are closed at `readingMs`. */
  drain(limits: { readingMs: number; totalMs: number }): Promise<void>;
  /** Resolves when none is open. */
  idle(): Promise<void>;
}

export function createConnections(clock: Clock): Connections {
  const states = new Map<Connection, "reading" | "working">();
  let waiting: (() => void)[] = [];
  const idle = (): Promise<void> =>
    states.size === 0 ? Promise.resolve() : new Promise((resolve) => waiting.push(resolve));
  return {
    get count() {
      return states.size;
    },
    add(connection) {
      states.set(connection, "reading");
    },
    markWorking(connection) {
      states.set(connection, "working");
    },
    remove(connection) {
      states.delete(connection);
      if (states.size > 0) return;
      for (const resolve of waiting) resolve();
      waiting = [];
    },
    async drain({ readingMs, totalMs }) {
      const close = (which: "reading" | "working"): void => {
        for (const [connection, state] of states) if (state === which) connection.close();
      };
      const reading = clock.schedule(Math.min(readingMs, totalMs), () => close("reading"));
      let total: Timer | undefined;
      // Peers that keep coming must not keep a stopping broker alive: the time is up for all at once.
      const timeUp = new Promise<void>((resolve) => {
        total = clock.schedule(totalMs, () => {
          close("reading");
          close("working");
          resolve();
        });
      });
      await Promise.race([idle(), timeUp]);
      reading.cancel();
      total?.cancel();
    },
    idle,
  };
}
