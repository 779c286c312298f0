/** The effective user of this process, and owners as POSIX systems number them. */
import type { Owned, Owner, User } from "../ports/index.ts";

export function createUser(): User {
  const own = process.geteuid?.() ?? -1;
  return {
    identity: String(own),
    uid: own,
    owns: (thing) => uidOf(thing) === own,
    ownerText: (thing) => `uid ${thing.owner}`,
  };
}

export function ownerOf(uid: number): Owner {
  return uid as unknown as Owner;
}

/** On POSIX systems every owner is made by `ownerOf`. */
export function uidOf({ owner }: Owned): number {
  return owner as unknown as number;
}
