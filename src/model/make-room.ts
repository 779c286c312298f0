/** What is remembered of a key for a while: a fixed window that begins with its first mention. */
export interface KeyWindow {
  readonly startedMs: number;
}

export interface RoomOptions {
  readonly nowMs: number;
  /** How long each window lasts. */
  readonly windowMs: number;
  /** The most there may be. */
  readonly maxKeys: number;
}

/**
 * Makes room for one more key: drops every window that is over, and the oldest others when there are too many, so that
 * peers who make up keys cannot grow the map. All windows are of one length and in the order of their beginnings: a key
 * whose window begins anew must have been deleted before.
 */
export function makeRoom(windows: Map<string, KeyWindow>, { nowMs, windowMs, maxKeys }: RoomOptions): void {
  for (const [key, { startedMs }] of windows) {
    if (windows.size < maxKeys && nowMs - startedMs < windowMs) return;
    windows.delete(key);
  }
}
