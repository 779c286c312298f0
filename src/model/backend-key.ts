/**
 * What a backend is known by. Launches, crashes, budgets, errors and leftovers are counted by this key; in maps it stands
 * as text.
 */

/** A service and the version of it that a client asks for. */
export interface WantedBackend {
  readonly service: string;
  readonly version: string;
}

export interface BackendKey extends WantedBackend {
  /** As `instanceId` of names.ts makes it: `shared`, `private:demo`, `explicit:ci`. */
  readonly instanceId: string;
}

/** Hellos bring the same key objects again and again (broker/hello/hello-target.ts): their text is made once. */
const texts = new WeakMap<BackendKey, string>();

/**
 * The same text for equal keys, another one for every other key: names and versions that are checked hold no blank. It is
 * kept for as long as the object `key` is.
 */
export function keyText(key: BackendKey): string {
  const known = texts.get(key);
  if (known !== undefined) return known;
  const text = `${key.instanceId} ${key.service} ${key.version}`;
  texts.set(key, text);
  return text;
}

export function sameKey(a: BackendKey, b: BackendKey): boolean {
  return a.version === b.version && a.service === b.service && a.instanceId === b.instanceId;
}

/** Order of listings: service, version, instance, each by code unit. */
export function compareKeys(a: BackendKey, b: BackendKey): number {
  return (
    compareText(a.service, b.service) || compareText(a.version, b.version) || compareText(a.instanceId, b.instanceId)
  );
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}
