/**
 * Many waits on one AbortSignal with one listener on it: a caller may well give the same signal to a thousand requests,
 * and Node warns of a leak from the eleventh listener on.
 */
export interface AbortFanout {
  /** Calls back when `signal` fires, unless the returned function was called before. */
  on(signal: AbortSignal, callback: () => void): () => void;
}

export function createAbortFanout(): AbortFanout {
  const groups = new Map<AbortSignal, { readonly callbacks: Set<() => void>; readonly listener: () => void }>();
  const join = (signal: AbortSignal): Set<() => void> => {
    const present = groups.get(signal);
    if (present !== undefined) return present.callbacks;
    const callbacks = new Set<() => void>();
    const listener = (): void => {
      groups.delete(signal);
      for (const callback of callbacks) callback();
    };
    groups.set(signal, { callbacks, listener });
    signal.addEventListener("abort", listener, { once: true });
    return callbacks;
  };
  return {
    on(signal, callback) {
      const callbacks = join(signal);
      callbacks.add(callback);
      return () => {
        if (!callbacks.delete(callback) || callbacks.size > 0) return;
        const group = groups.get(signal);
        if (group?.callbacks !== callbacks) return;
        groups.delete(signal);
        signal.removeEventListener("abort", group.listener);
      };
    },
  };
}
