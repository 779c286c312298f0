/** The user that this process acts for, and what belongs to users. */

declare const OWNER: unique symbol;

/**
 * Who a file, a process or a peer belongs to: the effective uid on POSIX systems, a security identifier on Windows. Only
 * `User` compares and shows it.
 */
export type Owner = (number | string) & { readonly [OWNER]: true };

export interface Owned {
  readonly owner: Owner;
}

export interface User {
  /** What policies compare, as `PeerCredentials.identity`. */
  readonly identity: string;
  /** For names of places that hold it (model/places.ts); -1 where users have no number. */
  readonly uid: number;
  /** Does it belong to this user? For a peer: may it speak as we do? */
  owns(thing: Owned): boolean;
  /** For messages: "uid 1000". */
  ownerText(thing: Owned): string;
}
